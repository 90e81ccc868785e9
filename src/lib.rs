//! rise-lab: a laboratory for studying how language models learn to correct themselves.
//!
//! RISE (Recursive Introspection, arXiv 2407.18219) fine-tunes a language model on its own
//! multi-turn attempts, improved by a teacher and weighted by reward, so that a second and a third
//! attempt become better than the first. rise-lab turns an experiment file in TOML into a sweep of
//! such trainings, performs them with worker processes, keeps everything in a `SQLite` database,
//! and renders tables and figures with intervals.
//!
//! # The picture
//!
//! ```text
//!  level 5   cli ─────────────────────────► claims (uses spec, stats and store too)
//!             │                                │
//!  level 4    ├──► sweep                     report
//!             │      │                         │
//!  level 3    ├──► pipeline                    │ (a handle that only reads)
//!             │      │    │                    │
//!  level 2    │    spec   └──────► store ◄─────┤
//!             │      │               │         │
//!  level 1    │    data ◄ rollout    │         │
//!             │    model ◄ train     │         └──► stats
//!             │    eval    remote    │
//!  level 0    └────────► domain ◄────┘
//! ```
//!
//! An arrow points at what is used; every module may use [`domain`]. The full table of edges is a
//! test, `tests/it/layers.rs`.
//!
//! | module | what it is about |
//! |---|---|
//! | [`domain`] | the words of the problem: problems, dialogues, episodes, seeds, keys |
//! | [`data`] | tasks: problems, prompts, and the reading of answers |
//! | [`model`] | the decoder, its tokenizer, sampling, checkpoints, backends |
//! | [`remote`] | models behind an API: asking, trying again, the cache, what it cost |
//! | [`rollout`] | the multi-turn loop, and the teacher who improves an attempt |
//! | [`train`] | selection, weighting, the objectives and the optimizer |
//! | [`eval`] | what each metric means, on one problem |
//! | [`stats`] | estimates with intervals, and paired differences |
//! | [`spec`] | what is asked for: experiment files and base models |
//! | [`store`] | the run database |
//! | [`pipeline`] | RISE as stages with keys, and the execution of one stage |
//! | [`sweep`] | an experiment's runs, and the worker processes that perform them |
//! | [`report`] | tables, figures and pages from the database |
//! | [`claims`] | the claims in a file, and what the runs say of them |
//! | [`cli`] | what is typed and what is answered |
//!
//! # How a run flows through
//!
//! 1. [`spec::read`] reads an experiment; [`sweep::expand_experiment`] makes a [`spec::RunSpec`] of each cell
//!    and seed. Whatever is wrong is said here, before any work.
//! 2. [`pipeline::plan`] writes a run of any method down as stages (RISE: `pipeline/methods/rise.rs`). A stage's key
//!    is made of what it does and of the keys of what it reads, so equal stages of different runs
//!    are one stage.
//! 3. [`sweep::perform`] hands unfinished stages to worker processes; [`pipeline::execute`]
//!    performs one and publishes its files at once. Per run these are
//!    * *prepare* and *tokenize*: problems, and the base model's vocabulary ([`data`], [`model`]);
//!    * *base*: a pre-trained model, shipped or trained here ([`train`]);
//!    * in each round *collect* and *improve* ([`rollout`]), then *weigh* and *train* ([`train`]);
//!      methods that learn from pairs have *prefer* instead, and online ones *reinforce*, which
//!      samples and trains in turn;
//!    * *evaluate* after each training ([`rollout`], [`eval`]).
//! 4. The coordinator alone writes episodes, scores and curves to the [`store`]. After any
//!    interruption the same command goes on with what is missing.
//! 5. [`report::write_report`] reads the database and nothing else; the same content gives the same bytes.
//!
//! On the default backend the same key gives the same bytes, for any number of workers, on one
//! instruction set.

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
