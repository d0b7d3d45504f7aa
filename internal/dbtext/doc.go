// Package dbtext fits texts of any origin to what a database can hold. One whose encoding is UTF-8 holds every character; one in
// LATIN1 refuses most, and a statement that stores an error message with one of these would fail as a whole.
package dbtext
