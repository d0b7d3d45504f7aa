// Package bulk writes batches of rows into a PostgreSQL table at the speed of COPY and finds the rows that the table
// does not take.
//
// A [Batch] collects rows in COPY text format; a [Writer] sends them inside a transaction of the caller, who adds what
// belongs to the same step (a cursor, the rejected rows) and commits. Two paths lead into the table:
//
//   - direct: COPY into the table itself, under a savepoint. An error that names its row costs two more savepoints:
//     the rows before it are sent again, the row is rejected, the rest follows.
//   - staging: COPY into a temporary table without constraints, then one INSERT ... SELECT ... ON CONFLICT. A Writer
//     with match columns changes over when the first row collides with one that is there already.
//
// What comes out does not depend on the path: every row ends as exactly one of inserted, updated, unchanged, duplicate,
// filtered or rejected, as if the rows had been written one by one in their order. In mode [Update] only the last good
// row of a key within one Write is written, the others count as duplicates.
//
// Errors of class 22 (data) and 23 (constraints) are blamed on rows. All others are returned, with the *pgconn.PgError
// in the chain: the caller decides whether to try the transaction again (40001, 40P01, lost connections) or to stop.
//
// The role needs INSERT and SELECT on the table, UPDATE for mode [Update], and TEMP on the database.
package bulk
