// Package commandjob is the kind of jobs that run a program on the worker's machine.
package commandjob
