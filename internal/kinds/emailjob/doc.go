// Package emailjob is the kind of jobs that send a mail.
package emailjob
