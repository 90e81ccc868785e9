//! Recursive introspection: the paper's Algorithm 1 with its options.

use crate::domain::Key;
use crate::pipeline::PlanError;
use crate::pipeline::plan::Plan;
use crate::train::{Data, Start};

pub(super) fn plan(plan: &mut Plan<'_>, base: &Key) -> Result<(), PlanError> {
    let run = plan.run;
    let (mut policy, mut data) = (base.clone(), Vec::new());
    if run.boost.problems > 0 {
        data.push(plan.solutions(Some(run.boost.problems)));
        policy = plan.train("boost", base, &data);
        plan.evaluate("boost", &policy, 1);
    }
    for round in 1..=run.rounds.count {
        let name = format!("round {round}");
        let own_turns = run.collect.own_turns.in_round(round);
        let attempts = plan.collect(&name, round, &policy, own_turns)?;
        let improved = plan.improve(&name, round, &attempts, &policy)?;
        data.push(plan.weigh(&name, &improved));
        let start = match run.rounds.start {
            Start::Base => base,
            Start::Previous => &policy,
        };
        let united = match run.rounds.data {
            Data::Union => &data[..],
            Data::Latest => &data[data.len() - 1..],
        };
        policy = plan.train(&name, start, united);
        plan.evaluate(&name, &policy, own_turns);
    }
    Ok(())
}
