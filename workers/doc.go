// Package workers holds the job kinds that Tidemill brings: one file per kind with its arguments, its worker and what it
// promises. They are ordinary River workers; their kinds begin with "tidemill." so that they never meet a user's own.
package workers
