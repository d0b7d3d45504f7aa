// Package sqljob is the kind of jobs that run one SQL statement.
package sqljob
