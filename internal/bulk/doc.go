// Package bulk writes batches of rows into a PostgreSQL table at the speed of COPY and finds the rows that the table
// does not take.
//
// A [Batch] collects rows in COPY text format; a [Writer] sends them inside a transaction of the caller, who adds what
// belongs to the same step (a cursor, the rejected rows) and commits. Two paths lead into the table:
//
//   - direct: COPY into the table itself, under a savepoint. An error that names its row costs two more savepoints:
//     the rows before it are sent again, the row is rejected, the rest follows.
//   - staging: COPY into a temporary table without constraints, then one INSERT ... SELECT ... ON CONFLICT: some three
//     times as slow. A Writer with match columns changes over for good when a row collides with one in the table.
//
// Rows whose key came before in the same input are no reason for that. A Writer remembers the keys that were appended,
// and writes the few rows whose key it knows by way of staging, after a direct COPY of the others; if they are more than
// a fifth it stages this batch. In mode [Update] the other rows of the same keys in the batch go with them, and also a
// Writer that stages all rows profits: it need not look for more rows of the keys of the others. That takes 8 MiB for each Writer, and the
// size of a batch once there are such rows. It is done for keys of integers, text with a deterministic collation, uuid
// and date, in tables without BEFORE INSERT triggers. What a Writer cannot know makes it change over as said: rows that
// were in the table before, also those of an input that is continued by another process, rows some eight million before
// the one that repeats them, and keys that are spelled in other ways.
//
// What comes out does not depend on the path: every row ends as exactly one of inserted, updated, unchanged, duplicate,
// filtered or rejected, as if the rows had been written one by one in their order. In mode [Update] only the last good
// row of a key within one Write is written, the others count as duplicates.
//
// Several Writers can write batches of one input at the same time: [Writer.Begin] does what does not depend on the batches
// in front, [Writer.Complete] the rest when those are committed.
//
// Errors of data, of constraints and of triggers, and what is too large for an index or a page, are blamed on rows. All
// others are returned, with the *pgconn.PgError in the chain: the caller decides whether to try the transaction again
// (40001, 40P01, lost connections) or to stop.
//
// The role needs INSERT and SELECT on the table, UPDATE for mode [Update], and TEMP on the database.
package bulk
