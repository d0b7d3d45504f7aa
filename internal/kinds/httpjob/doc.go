// Package httpjob is the kind of jobs that send a request to a program of the user's.
package httpjob
