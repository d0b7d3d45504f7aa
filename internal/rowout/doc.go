// Package rowout turns rows as PostgreSQL's COPY … TO STDOUT sends them into the records of a file: CSV by RFC 4180 or
// NDJSON, compressed or not.
//
// COPY sends each row as a message of its own; the protocol promises that. So a record is whole when it is seen, and a
// file can end after any of them.
package rowout
