// Package cleanupjob is the kind of jobs that delete rows by age, in short transactions, and may archive them first.
package cleanupjob
