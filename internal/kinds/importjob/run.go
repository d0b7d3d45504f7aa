package importjob

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/retry"
)

// importRun is one attempt of an import: a reader that parses ahead into one chunk while the others are written.
type importRun struct {
	args Args
	def  *Config
	opts Opts
	run  *batch.Run

	object  importObject
	version string       // of the file, as this attempt found it
	reader  *wholeReader // of the file, the one opened last

	cursor importCursor
	source *importSource
	file   fileInfo
	form   *detectedFormat
	plan   *importPlan
	table  *bulk.Table
	writer *bulk.Writer // makes the batches; the first lane writes with it, too
}

// importCursor is the place after the last committed record. Offset counts bytes of the decoded stream.
type importCursor struct {
	Offset  int64 `json:"offset"`
	Line    int64 `json:"line"`
	Ordinal int64 `json:"ordinal"` // records before Offset, the header not counted
	Staged  bool  `json:"staged,omitempty"`
	// What follows is not there in runs of versions that did not keep it.
	Form    *detectedFormat `json:"form,omitempty"`
	Version string          `json:"version,omitempty"` // of the file
	Digest  *fileDigest     `json:"digest,omitempty"`  // only where Offset is one of the file itself
	// Unused are the members of the rows before Offset that no column takes.
	Unused unusedMembers `json:"unused,omitzero"`
	// Altered counts what the table does not have as it is written, of the rows before Offset.
	Altered Altered `json:"altered,omitzero"`
}

func (im *importRun) work(ctx context.Context) error {
	found, err := im.run.Cursor(&im.cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if err := im.overLimit(im.run.Counters()); err != nil {
		return err
	}
	first, err := im.open(ctx)
	if err != nil {
		return err
	}
	if !found {
		im.cursor = first
		if err := im.run.SetTotal(ctx, im.args.Size, "bytes"); err != nil {
			return err
		}
		if err := im.run.Note(ctx, map[string]any{fileKey: im.file}); err != nil {
			return err
		}
	}
	if im.def.Mode == Atomic {
		return im.atomic(ctx, first)
	}
	im.writer.SetStaged(im.cursor.Staged)
	return im.pipeline(ctx)
}

// open looks at the head of the file and at the table, and plans how the one goes into the other. It returns the place
// of the first record.
func (im *importRun) open(ctx context.Context) (importCursor, error) {
	table, err := bulk.Describe(ctx, im.opts.Pool, im.def.Table.Schema, im.def.Table.Name)
	if err != nil {
		if batch.Classify(err) == batch.Transient {
			return importCursor{}, err
		}
		return importCursor{}, retry.Permanent(err)
	}
	if im.version, err = im.object.check(ctx); err != nil {
		return importCursor{}, err
	}
	if im.cursor.Version != "" && im.cursor.Version != im.version {
		if err := im.verify(ctx); err != nil {
			return importCursor{}, err
		}
	}
	im.source, err = lookAt(ctx, importSource{
		name: im.args.Name, def: im.def, open: im.sourceOf(ctx), form: im.cursor.Form, rejects: im.args.RejectsOf != 0,
	}, table, func(ctx context.Context) error { return im.run.Progress(ctx, im.run.Done()) })
	if err != nil {
		return importCursor{}, err
	}
	head, err := im.headerNames()
	if err != nil {
		return importCursor{}, err
	}
	im.file, im.form = im.source.note(head), im.source.freeze()
	im.plan, err = planImport(im.def, table, head)
	if err != nil {
		return importCursor{}, retry.Permanent(err)
	}
	im.plan.width = len(im.source.names)
	im.plan.lacking = append(im.plan.lacking, im.source.lacking...)
	im.table = table
	im.writer, err = bulk.NewWriter(table, im.plan.spec)
	if err != nil {
		return importCursor{}, im.source.fail("%v", err)
	}
	return im.source.first, nil
}

// headerNames are the names that the plan may use: of a file of rejects without the field that says why.
func (im *importRun) headerNames() ([]string, error) {
	names := im.source.names
	last := len(names) - 1
	switch {
	case im.args.RejectsOf == 0:
		return names, nil
	case im.def.Format == config.NDJSON:
		// The scanner's names, too: the plan counts places among them.
		im.source.names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == errorField })
		return im.source.names, nil
	case im.def.Header && names[last] != errorField:
		return nil, im.source.fail("the last field of the header is %q, not %s, so this is no file of rejects", names[last], errorField)
	case last == 0:
		return names, nil
	}
	return names[:last], nil
}

// importResult is what a run that ended well says besides its counters.
type importResult struct {
	Note string `json:"note"`
	// UnusedMembers says how often a member came that no column takes, by its name; of NDJSON.
	UnusedMembers *unusedMembers `json:"unused_members,omitempty"`
	// UnusedFields are the fields of the header that no column takes.
	UnusedFields []string `json:"unused_fields,omitempty"`
	// LackingFields are the optional fields that the file does not have: their columns are NULL, or the default.
	LackingFields []string `json:"lacking_fields,omitempty"`
	// Altered counts what the table does not have as it is written.
	Altered *Altered `json:"altered,omitempty"`
}

// result is nil where there is nothing to say.
func (im *importRun) result(total batch.Counters, end importCursor) any {
	unused := end.Unused
	var r importResult
	var notes []string
	if total.Read == 0 {
		notes = append(notes, "the file has a header but no rows")
	}
	if !unused.empty() {
		r.UnusedMembers = &unused
		notes = append(notes, "members that no column takes: "+unused.String())
	}
	if len(im.plan.unused) > 0 {
		r.UnusedFields = im.plan.unused
		notes = append(notes, "fields that no column takes: "+shorten(im.plan.unused))
	}
	if len(im.plan.lacking) > 0 {
		r.LackingFields = im.plan.lacking
		notes = append(notes, "optional fields that the file does not have: "+shorten(im.plan.lacking))
	}
	if altered := end.Altered; altered != (Altered{}) {
		r.Altered = &altered
		notes = append(notes, altered.String())
	}
	if len(notes) == 0 {
		return nil
	}
	r.Note = strings.Join(notes, "; ")
	return r
}

// progress is how many bytes of the file are done: up to the cursor, or, where offsets are those of another text, up to what
// had been read when the chunk was full.
func (im *importRun) progress(chunk *importChunk, part importPart) int64 {
	switch {
	case part.end && chunk.last:
		return im.args.Size // with the blank lines and comments after the last record
	case im.source.seeks():
		return part.cursor.Offset // the header's bytes count as done too
	case !part.end:
		return im.run.Done()
	}
	return max(im.run.Done(), min(chunk.consumed, im.args.Size))
}

// overLimit returns a permanent error when more rows were put aside than the definition allows.
func (im *importRun) overLimit(c batch.Counters) error {
	limit := im.def.RejectLimit
	kept := "what was imported is kept"
	if im.def.Mode == Atomic {
		kept = "nothing was imported"
	}
	hint := fmt.Sprintf("%s; see them with: tidemill runs rejects %d", kept, im.run.ID())
	if c.Rejected > limit.Rows {
		return retry.Permanent(fmt.Errorf("more rows were rejected than reject_limit allows (%d); %s", limit.Rows, hint))
	}
	// A ratio means nothing over a handful of rows.
	const enough = 1000
	if limit.Ratio > 0 && c.Read >= enough && float64(c.Rejected) > limit.Ratio*float64(c.Read) {
		return retry.Permanent(fmt.Errorf("%d of %d rows were rejected, more than reject_limit allows (%g%%); %s",
			c.Rejected, c.Read, 100*limit.Ratio, hint))
	}
	return nil
}
