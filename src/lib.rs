//! rise-lab: a laboratory for studying how language models learn to correct themselves.
//!
//! RISE (Recursive Introspection, arXiv 2407.18219) fine-tunes a language model on its own
//! multi-turn attempts. A teacher improves them and rewards weight them, so that the second and the
//! third attempt become better than the first. rise-lab expands an experiment file in TOML into a
//! sweep of such trainings, executes them with worker processes, records everything in a `SQLite`
//! database, and renders tables and figures with intervals.
//!
//! # Modules
//!
//! ```text
//!  level 5   cli ─────────────────────────► claims (also uses config, stats and store)
//!             │                                │
//!  level 4    ├──► sweep                     report
//!             │      │                         │
//!  level 3    ├──► pipeline                    │ (a read-only handle)
//!             │      │    │                    │
//!  level 2    │   config  └──────► store ◄─────┤
//!             │      │               │         │
//!  level 1    │    data ◄ rollout    │         │
//!             │    model ◄ train     │         └──► stats
//!             │    eval    api       │
//!  level 0    └────────► domain ◄────┘
//! ```
//!
//! An arrow points at the module that is used; every module may use [`domain`]. The table of all
//! allowed edges is a test, `tests/it/layers.rs`.
//!
//! | module | content |
//! |---|---|
//! | [`domain`] | problems, dialogues, episodes, seeds, keys, names of checkpoints and metrics |
//! | [`data`] | tasks: problems, prompts and graders |
//! | [`model`] | decoder, tokenizer, sampling, checkpoints, backends |
//! | [`api`] | API models: requests, retries, cache, usage |
//! | [`rollout`] | the multi-turn loop, and the teacher that improves an attempt |
//! | [`train`] | selection, weighting, objectives and optimizer |
//! | [`eval`] | metrics of one problem |
//! | [`stats`] | estimates with intervals, and paired comparisons |
//! | [`config`] | experiment files and base-model recipes |
//! | [`store`] | the run database |
//! | [`pipeline`] | stages with keys, methods made of stages, and the execution of one stage |
//! | [`sweep`] | the runs of an experiment, and the worker processes that execute their stages |
//! | [`report`] | tables, figures and pages from the database |
//! | [`claims`] | the claims of a file, and the verdicts of the runs on them |
//! | [`cli`] | the commands |
//!
//! # From an experiment file to a table cell
//!
//! 1. `cli::commands::sweep` calls [`config::read_experiment`], which reads the TOML with spans and
//!    rejects errors before any work.
//! 2. [`sweep::expand_experiment`] makes a [`config::RunSpec`] of each condition and seed.
//! 3. [`pipeline::plan_run`] writes a run as stages, by its method (RISE: `pipeline/methods/rise.rs`).
//! 4. A stage is a struct in `pipeline/stages/`; its key hashes its fields and the keys of its inputs,
//!    so runs share equal stages ([`pipeline::StageNode`]).
//! 5. [`sweep::run_sweep`] gives open stages to worker processes, as soon as their inputs exist.
//! 6. A worker calls [`pipeline::execute_stage`], which runs the struct and publishes its files: collect
//!    and improve use [`rollout`], train uses [`train`], evaluate uses [`rollout`] and [`eval`].
//! 7. The coordinator alone records episodes, grades, scores and curves in the [`store`].
//! 8. [`report::write_report`] reads them into `ReportData`; [`report::Analysis`] groups runs into
//!    conditions.
//! 9. `report/tables/*.rs` ask it for the estimate of (condition, checkpoint, metric), which
//!    [`stats::MeanEstimate`] computes over problems and seeds.
//! 10. [`report::TableCell`] holds the estimate, and `report/render.rs` writes it as HTML, Markdown, LaTeX
//!     and CSV.
//!
//! The same command resumes after any interruption. On the default backend the same key gives the
//! same bytes, for any number of workers, on one instruction set.

pub mod api;
pub mod claims;
pub mod cli;
pub mod config;
pub mod data;
pub mod domain;
pub mod eval;
pub mod model;
pub mod pipeline;
pub mod report;
pub mod rollout;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod train;
