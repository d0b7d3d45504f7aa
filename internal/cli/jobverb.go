package cli

import "github.com/tidemill/tidemill/internal/operate"

// jobVerb is something that can be done to jobs, with the words for it.
type jobVerb struct {
	*operate.JobVerb
	doing       string // retrying
	short, long string
	usually     string // which jobs are taken without --state: all jobs that …
}

func retryJobs() *jobVerb {
	return &jobVerb{
		JobVerb: operate.RetryVerb(), doing: "retrying", usually: "failed",
		short: "Let jobs run again at once",
		long: `Makes jobs available to workers now, with one more attempt if theirs are used up. A run resumes from its last chunk.

Without --state, the jobs that failed are taken: discarded and retryable. Others are taken if --state or their id names
them; a completed job then runs a second time.`,
	}
}

func cancelJobs() *jobVerb {
	return &jobVerb{
		JobVerb: operate.CancelVerb(), doing: "cancelling", usually: "are not finished",
		short: "End jobs that are not finished",
		long: `Cancels jobs that wait, and asks the workers of running ones to end them. What a run has committed is kept.

A job that completes before its worker notices stays completed.`,
	}
}

func deleteJobs() *jobVerb {
	return &jobVerb{
		JobVerb: operate.DeleteVerb(), doing: "deleting", usually: "are not running",
		short: "Remove jobs from River's table",
		long: `Removes jobs, finished or waiting, for good. Running ones are never deleted; cancel them first.

The run of a deleted job stays in the ledger; one that was not finished is cancelled by it.`,
	}
}
