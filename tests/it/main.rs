//! Integration tests, one binary: each links burn, and one link is enough.

mod golden;
