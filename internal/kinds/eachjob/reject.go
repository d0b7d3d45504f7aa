package eachjob

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/retry"
)

// maxEachRejects bounds the rows that a walk puts aside. More of them say that the query or the child's params are at fault.
const maxEachRejects = 100_000

// maxEachRaw bounds what is kept of one row, in characters.
const maxEachRaw = 4096

// eachRefused is what a child would be given, and why a start of its job refuses that.
type eachRefused struct {
	N       int64  `json:"n"` // of its first row in the chunk, from 1
	Given   string `json:"given"`
	Problem string `json:"problem"`
}

// reject says where the row is in the whole walk.
func (r eachRefused) reject(before int64) batch.Reject {
	place := before + r.N
	reject := batch.Reject{Ordinal: place, Line: place, Raw: []byte(r.Given), Code: "22023", Reason: r.Problem}
	if text := []rune(r.Given); len(text) > maxEachRaw {
		reject.Raw = []byte(string(text[:maxEachRaw]))
		reject.Reason += fmt.Sprintf(" (only the first %d characters are kept)", maxEachRaw)
	}
	return reject
}

func (p eachPart) counters() batch.Counters {
	return batch.Counters{Read: p.Rows, Processed: p.Rows - p.Rejected, Rejected: p.Rejected}
}

// putAside keeps the rows of a chunk that cannot become children.
func (w *Worker) putAside(ctx context.Context, run *batch.Run, tx pgx.Tx, part eachPart) error {
	if len(part.Rejects) > 0 && run.Counters().Rejected+part.Rejected > maxEachRejects {
		return retry.Permanent(fmt.Errorf("more than %d rows were rejected, the last one because: %s; change the query, or the params of the job that is enqueued",
			maxEachRejects, part.Rejects[len(part.Rejects)-1].Reason))
	}
	return run.Reject(ctx, tx, part.Rejects)
}
