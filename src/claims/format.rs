//! Claims and their numbers in words: the same in the terminal, on the page and in the file.

use crate::report::{DisplayUnit, format_p_value};
use crate::stats::EffectDirection;

use super::claim::{Claim, Comparator, MeasuredQuantity};
use super::outcome::{ClaimComparison, ClaimOutcome, ClaimResult, ClaimVerdict, SourceRun};

/// `a = b, c = d`.
pub fn values_text(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(axis, value)| format!("{axis} = {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is compared, in a sentence.
pub fn comparison_text(claim: &Claim, unit: DisplayUnit) -> String {
    let right = |right: &Comparator| match right {
        Comparator::Number(number) if unit == DisplayUnit::Fraction => format!("{number} %"),
        Comparator::Number(number) => format!("{number} {}", unit.difference_unit()),
        Comparator::Quantity(quantity) => comparator_text(quantity, &claim.left),
    };
    let rights: Vec<String> = claim.right.iter().map(right).collect();
    let each = if rights.len() > 1 { "each of " } else { "" };
    let comma = if claim.left.selector.is_empty() {
        ""
    } else {
        ","
    };
    format!(
        "{}{comma} {} {each}{}",
        quantity_text(&claim.left),
        claim.direction.words(),
        rights.join("; ")
    )
}

fn quantity_text(of: &MeasuredQuantity) -> String {
    format!(
        "{} of {}{}",
        metric_text(of),
        checkpoint_text(&of.checkpoint),
        where_text(of)
    )
}

fn checkpoint_text(name: &str) -> String {
    match name {
        "first" | "last" => format!("the {name} checkpoint"),
        name => format!("checkpoint {name}"),
    }
}

fn where_text(of: &MeasuredQuantity) -> String {
    let pairs: Vec<(String, String)> = of
        .selector
        .iter()
        .map(|(axis, value)| (axis.clone(), value.clone()))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!(" where {}", values_text(&pairs))
    }
}

/// What is measured: a metric, or what it gains over another one.
pub fn metric_text(of: &MeasuredQuantity) -> String {
    of.subtracted_metric.as_ref().map_or_else(
        || of.metric.clone(),
        |over| format!("{} − {over}", of.metric),
    )
}

/// The right side, leaving out what it shares with the left one.
fn comparator_text(right: &MeasuredQuantity, left: &MeasuredQuantity) -> String {
    match (
        right.selector == left.selector,
        right.checkpoint == left.checkpoint,
    ) {
        (true, true) => format!("its {}", metric_text(right)),
        (true, false) => format!(
            "its {} at {}",
            metric_text(right),
            checkpoint_text(&right.checkpoint)
        ),
        _ => quantity_text(right),
    }
}

/// What has to be passed and what is of interest, in a sentence.
pub fn hypothesis_text(claim: &ClaimResult) -> String {
    let ClaimResult {
        margin,
        smallest_effect: worth,
        unit,
        ..
    } = claim;
    let worth = format!("{worth} {unit}");
    let far = match claim.direction {
        _ if *margin == 0.0 => String::new(),
        EffectDirection::Above | EffectDirection::Below => {
            format!("by more than {margin} {unit}; ")
        }
        EffectDirection::NotAbove | EffectDirection::NotBelow => {
            format!("beyond {margin} {unit}; ")
        }
    };
    format!("{far}of interest from {worth} on")
}

/// The unit of a claim's numbers.
pub fn claim_unit(claim: &ClaimResult) -> DisplayUnit {
    match claim.unit.as_str() {
        "points" => DisplayUnit::Fraction,
        "nats" => DisplayUnit::Nats,
        _ => DisplayUnit::Count,
    }
}

/// `+16.8 [13.1, 20.6]`.
pub fn difference_text(part: &ClaimComparison, unit: DisplayUnit) -> String {
    let told = part.test.as_ref().map(|tested| {
        format!(
            "{} {}",
            unit.format_signed(tested.difference.value),
            unit.format_interval(&tested.difference)
        )
    });
    told.unwrap_or_else(|| "–".to_owned())
}

/// How many seeds have the sign of the whole, and how far they are apart.
pub fn seeds_text(part: &ClaimComparison, unit: DisplayUnit) -> String {
    let Some(tested) = &part.test else {
        return "–".to_owned();
    };
    let spread = tested.difference.std_between_seeds();
    let spread = spread
        .map(|sd| format!(", sd {}", unit.format_value(sd)))
        .unwrap_or_default();
    format!(
        "{}/{}{spread}",
        tested.agreeing_seeds(),
        tested.difference.seeds
    )
}

/// Each seed's difference.
pub fn by_seed_text(part: &ClaimComparison, unit: DisplayUnit) -> String {
    let values = part
        .test
        .iter()
        .flat_map(|tested| &tested.difference.by_seed);
    values
        .map(|&value| unit.format_signed(value))
        .collect::<Vec<_>>()
        .join(" · ")
}

/// The corrected p value.
pub fn p_value_text(outcome: &ClaimOutcome) -> String {
    outcome.corrected_p_value.map_or_else(
        || "–".to_owned(),
        |p| {
            format_p_value(p)
                .trim_start_matches("p ")
                .trim_start_matches("= ")
                .to_owned()
        },
    )
}

/// What else there is to say of an outcome.
pub fn remarks(outcome: &ClaimOutcome) -> Vec<String> {
    let Some(part) = outcome.decisive_comparison() else {
        return Vec::new();
    };
    let mut remarks: Vec<String> = Vec::new();
    if outcome.verdict == ClaimVerdict::NotRun {
        remarks.extend(part.missing_reason.clone());
        return remarks;
    }
    if part.test.as_ref().is_some_and(|tested| tested.negligible) {
        remarks.push("certain, but smaller than what is of interest".to_owned());
    }
    let by_interval = part
        .test
        .as_ref()
        .map(|tested| ClaimVerdict::from(tested.by_interval));
    if outcome.verdict == ClaimVerdict::UnderPowered
        && by_interval.is_some_and(|word| word != ClaimVerdict::UnderPowered)
    {
        remarks.push("clear by its interval, not after correction over the row".to_owned());
    }
    remarks.extend(part.caution.clone());
    let runs: Vec<SourceRun> = part.source_runs().into_iter().cloned().collect();
    remarks.extend(Some(unfinished_runs_text(&runs)).filter(|broken| !broken.is_empty()));
    remarks
}

/// The failed and missing runs by label and key.
pub fn unfinished_runs_text(runs: &[SourceRun]) -> String {
    let broken = runs.iter().filter(|run| run.state != "done").map(|run| {
        let error = run
            .error
            .as_deref()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        format!(
            "{} ({}) {}{error}",
            run.label,
            short_key(&run.key),
            run.state
        )
    });
    broken.collect::<Vec<_>>().join("; ")
}

/// The first digits of a key, enough for `rise-lab show`.
pub fn short_key(key: &str) -> &str {
    &key[..key.len().min(8)]
}
