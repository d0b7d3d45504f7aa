// Package eachjob is the kind of jobs that enqueue another job for each row of a query.
package eachjob
