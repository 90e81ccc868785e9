//! `rise-lab query`: any one question in SQL.

use serde_json::Value;

use crate::cli::args::QueryArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::table::Table;
use crate::store::Table as Answer;

/// Answers a query.
///
/// # Errors
/// If there is no database, or the query cannot be understood or might write.
pub fn query(arguments: &QueryArguments, environment: &Environment) -> Result<Exit, Fault> {
    let answer = environment
        .reader()?
        .query(&arguments.sql, arguments.limit)?;
    environment
        .output
        .answer(|| table(&answer).to_string(), &answer)?;
    if answer.more {
        environment.output.say(&format!(
            "only the first {} rows; ask for more with --limit",
            arguments.limit
        ));
    }
    Ok(Exit::Fine)
}

fn table(answer: &Answer) -> Table {
    let columns = answer.columns.iter().enumerate().map(|(column, name)| {
        let numbers = answer
            .rows
            .iter()
            .all(|row| row[column].is_number() || row[column].is_null());
        if numbers && !answer.rows.is_empty() {
            format!("#{name}")
        } else {
            name.clone()
        }
    });
    let mut table = Table::new(columns);
    for row in &answer.rows {
        table.row(row.iter().map(cell));
    }
    table
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_nothing_is_a_dash() {
        let answer = Answer {
            columns: vec!["label".to_owned(), "mean".to_owned()],
            rows: vec![
                vec![json!("base=weak"), json!(0.25)],
                vec![json!(null), json!(12)],
            ],
            more: false,
        };
        insta::assert_snapshot!(table(&answer), @r"
        label      mean
        ---------  ----
        base=weak  0.25
        -            12
        ");
    }
}
