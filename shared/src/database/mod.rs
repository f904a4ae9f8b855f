//! SQL statements for customers' D1 databases.

mod sql_text;
mod statement;

pub use statement::{Param, Statement};
