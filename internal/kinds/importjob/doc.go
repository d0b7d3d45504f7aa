// Package importjob is the kind of jobs that load files into a table, and find new files in a source.
package importjob
