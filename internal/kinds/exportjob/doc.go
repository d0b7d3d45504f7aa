// Package exportjob is the kind of jobs that write a table or the rows of a query into a file in the storage.
package exportjob
