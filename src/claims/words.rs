//! Claims and their numbers in words: the same in the terminal, on the page and in the file.

use crate::report::{Unit, p_value};
use crate::stats::Direction;

use super::claim::{Claim, Quantity, Rival};
use super::outcome::{Outcome, Part, RunBehind, Settled, Verdict};

/// `a = b, c = d`.
pub fn values(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(axis, value)| format!("{axis} = {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is compared, in a sentence.
pub fn compared(claim: &Claim, unit: Unit) -> String {
    let right = |right: &Rival| match right {
        Rival::Number(number) if unit == Unit::Fraction => format!("{number} %"),
        Rival::Number(number) => format!("{number} {}", unit.words()),
        Rival::Quantity(quantity) => beside(quantity, &claim.left),
    };
    let rights: Vec<String> = claim.right.iter().map(right).collect();
    let each = if rights.len() > 1 { "each of " } else { "" };
    let comma = if claim.left.cells.is_empty() { "" } else { "," };
    format!(
        "{}{comma} {} {each}{}",
        quantity(&claim.left),
        claim.direction.words(),
        rights.join("; ")
    )
}

fn quantity(of: &Quantity) -> String {
    format!(
        "{} of {}{}",
        metric(of),
        checkpoint(&of.checkpoint),
        cells(of)
    )
}

fn checkpoint(name: &str) -> String {
    match name {
        "first" | "last" => format!("the {name} checkpoint"),
        name => format!("checkpoint {name}"),
    }
}

fn cells(of: &Quantity) -> String {
    let pairs: Vec<(String, String)> = of
        .cells
        .iter()
        .map(|(axis, value)| (axis.clone(), value.clone()))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!(" where {}", values(&pairs))
    }
}

/// What is measured: a metric, or what it gains over another one.
pub fn metric(of: &Quantity) -> String {
    of.over.as_ref().map_or_else(
        || of.metric.clone(),
        |over| format!("{} − {over}", of.metric),
    )
}

/// The right side, leaving out what it shares with the left one.
fn beside(right: &Quantity, left: &Quantity) -> String {
    match (
        right.cells == left.cells,
        right.checkpoint == left.checkpoint,
    ) {
        (true, true) => format!("its {}", metric(right)),
        (true, false) => format!("its {} at {}", metric(right), checkpoint(&right.checkpoint)),
        _ => quantity(right),
    }
}

/// What has to be passed and what is of interest, in a sentence.
pub fn stakes(claim: &Settled) -> String {
    let Settled {
        margin,
        worth,
        unit,
        ..
    } = claim;
    let worth = format!("{worth} {unit}");
    let far = match claim.direction {
        _ if *margin == 0.0 => String::new(),
        Direction::Above | Direction::Below => format!("by more than {margin} {unit}; "),
        Direction::NotAbove | Direction::NotBelow => format!("beyond {margin} {unit}; "),
    };
    format!("{far}of interest from {worth} on")
}

/// The unit of a claim's numbers.
pub fn unit(claim: &Settled) -> Unit {
    match claim.unit.as_str() {
        "points" => Unit::Fraction,
        "nats" => Unit::Nats,
        _ => Unit::Count,
    }
}

/// `+16.8 [13.1, 20.6]`.
pub fn difference(part: &Part, unit: Unit) -> String {
    let told = part.tested.as_ref().map(|tested| {
        format!(
            "{} {}",
            unit.signed(tested.difference.value),
            unit.interval(&tested.difference)
        )
    });
    told.unwrap_or_else(|| "–".to_owned())
}

/// How many seeds have the sign of the whole, and how far they are apart.
pub fn seeds(part: &Part, unit: Unit) -> String {
    let Some(tested) = &part.tested else {
        return "–".to_owned();
    };
    let spread = tested.difference.between_seeds();
    let spread = spread
        .map(|sd| format!(", sd {}", unit.number(sd)))
        .unwrap_or_default();
    format!("{}/{}{spread}", tested.agreeing(), tested.difference.seeds)
}

/// Each seed's difference.
pub fn by_seed(part: &Part, unit: Unit) -> String {
    let values = part
        .tested
        .iter()
        .flat_map(|tested| &tested.difference.by_seed);
    values
        .map(|&value| unit.signed(value))
        .collect::<Vec<_>>()
        .join(" · ")
}

/// The corrected p value.
pub fn p(outcome: &Outcome) -> String {
    outcome.corrected.map_or_else(
        || "–".to_owned(),
        |p| {
            p_value(p)
                .trim_start_matches("p ")
                .trim_start_matches("= ")
                .to_owned()
        },
    )
}

/// What else there is to say of an outcome.
pub fn remarks(outcome: &Outcome) -> Vec<String> {
    let Some(part) = outcome.decisive() else {
        return Vec::new();
    };
    let mut remarks: Vec<String> = Vec::new();
    if outcome.verdict == Verdict::NotRun {
        remarks.extend(part.missing.clone());
        return remarks;
    }
    if part.tested.as_ref().is_some_and(|tested| tested.small) {
        remarks.push("certain, but smaller than what is of interest".to_owned());
    }
    let by_interval = part
        .tested
        .as_ref()
        .map(|tested| Verdict::from(tested.by_interval));
    if outcome.verdict == Verdict::UnderPowered
        && by_interval.is_some_and(|word| word != Verdict::UnderPowered)
    {
        remarks.push("clear by its interval, not after correction over the row".to_owned());
    }
    remarks.extend(part.caution.clone());
    let runs: Vec<RunBehind> = part.runs().into_iter().cloned().collect();
    remarks.extend(Some(broken(&runs)).filter(|broken| !broken.is_empty()));
    remarks
}

/// The failed and missing runs by label and key.
pub fn broken(runs: &[RunBehind]) -> String {
    let broken = runs.iter().filter(|run| run.state != "done").map(|run| {
        let error = run
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        format!("{} ({}) {}{error}", run.label, short(&run.key), run.state)
    });
    broken.collect::<Vec<_>>().join("; ")
}

/// The first digits of a key, enough for `rise-lab show`.
pub fn short(key: &str) -> &str {
    &key[..key.len().min(8)]
}
