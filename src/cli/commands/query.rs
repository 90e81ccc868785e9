//! `rise-lab query` queries the database in SQL.

use clap::Args;
use serde_json::Value;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::table::TextTable;
use crate::store::QueryResult;

/// `rise-lab query`.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// One SELECT statement; `sqlite_schema` lists the tables
    #[arg(value_name = "SQL")]
    pub sql: String,
    /// Print at most this many rows
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    pub limit: usize,
}

/// Runs a query.
///
/// # Errors
/// If there is no database, or the query is wrong or might write.
pub fn query(
    arguments: &QueryArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let result = environment
        .open_reader()?
        .query(&arguments.sql, arguments.limit)?;
    environment
        .output
        .print_result(|| result_table(&result).to_string(), &result)?;
    if result.truncated {
        environment.output.print_note(&format!(
            "showing the first {} rows; raise --limit for more",
            arguments.limit
        ));
    }
    Ok(ExitReason::Success)
}

fn result_table(result: &QueryResult) -> TextTable {
    let columns = result.columns.iter().enumerate().map(|(column, name)| {
        let is_numeric = result
            .rows
            .iter()
            .all(|row| row[column].is_number() || row[column].is_null());
        if is_numeric && !result.rows.is_empty() {
            format!("#{name}")
        } else {
            name.clone()
        }
    });
    let mut table = TextTable::new(columns);
    for row in &result.rows {
        table.add_row(row.iter().map(cell_text));
    }
    table
}

fn cell_text(value: &Value) -> String {
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
        let result = QueryResult {
            columns: vec!["label".to_owned(), "mean".to_owned()],
            rows: vec![
                vec![json!("base=weak"), json!(0.25)],
                vec![json!(null), json!(12)],
            ],
            truncated: false,
        };
        insta::assert_snapshot!(result_table(&result), @r"
        label      mean
        ---------  ----
        base=weak  0.25
        -            12
        ");
    }
}
