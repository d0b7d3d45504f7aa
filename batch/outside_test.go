package batch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

// outsideLedger needs no River client: nothing works here.
func outsideLedger(t *testing.T) *batch.Ledger {
	t.Helper()
	return batch.NewLedger(testdb.Pool(t, testengine.URL(t)), migrations.Schema{}, nil)
}

func TestOutside(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ledger := outsideLedger(t)
	for _, tt := range []struct {
		name   string
		end    func(*batch.Outside) error
		status batch.Status
		err    string
		result string
	}{
		{"no end", func(*batch.Outside) error { return nil }, batch.Running, "", ""},
		{"finish", func(o *batch.Outside) error { return o.Finish(ctx, map[string]int{"rows": 3}) }, batch.Succeeded, "", `{"rows": 3}`},
		{"finish without result", func(o *batch.Outside) error { return o.Finish(ctx, nil) }, batch.Succeeded, "", ""},
		{"finish twice", func(o *batch.Outside) error { return errors.Join(o.Finish(ctx, nil), o.Finish(ctx, nil)) }, batch.Succeeded, "", ""},
		{"fail", func(o *batch.Outside) error { return o.Fail(ctx, errors.New("disk\x00 full \xff"), 7) }, batch.Failed, "disk full \uFFFD", "7"},
		{"fail without reason", func(o *batch.Outside) error { return o.Fail(ctx, nil, nil) }, batch.Failed, "no reason was given", ""},
		{"cancel", func(o *batch.Outside) error {
			return errors.Join(ledger.Cancel(ctx, o.ID), ledger.Cancel(ctx, o.ID))
		}, batch.Cancelled, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, err := ledger.Begin(ctx, "backup", batch.OutsideOpts{Metadata: map[string]string{"host": "a"}, Timeout: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.end(o); err != nil {
				t.Fatal(err)
			}
			info, err := ledger.Get(ctx, o.ID)
			if err != nil {
				t.Fatal(err)
			}
			got := struct {
				Status              batch.Status
				Error, Result, Meta string
				Ended               bool
			}{info.Status, "", string(info.Result), string(info.Metadata), info.FinishedAt != nil}
			if info.Error != nil {
				got.Error = *info.Error
			}
			want := got
			want.Status, want.Error, want.Result, want.Meta, want.Ended = tt.status, tt.err, tt.result, `{"host": "a"}`, tt.status.Final()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutsideRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ledger := outsideLedger(t)
	o, err := ledger.Begin(ctx, "backup", batch.OutsideOpts{})
	if err != nil {
		t.Fatal(err)
	}
	_, retryErr := ledger.Retry(ctx, o.ID, batch.RetryOpts{})
	for _, err := range []error{ledger.Pause(ctx, o.ID), ledger.Resume(ctx, o.ID), retryErr} {
		var state *batch.StateError
		if !errors.As(err, &state) || state.Hint == "" {
			t.Errorf("%v", err)
		}
	}
	if err := o.Finish(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if err := o.Fail(ctx, errors.New("late"), nil); err == nil {
		t.Error("a run that has succeeded has failed afterwards")
	}
	var state *batch.StateError
	if err := ledger.Cancel(ctx, o.ID); !errors.As(err, &state) {
		t.Errorf("cancel of what has ended: %v", err)
	}
	if _, err := ledger.Begin(ctx, "", batch.OutsideOpts{}); err == nil {
		t.Error("a run without name")
	}
	if _, err := ledger.Begin(ctx, "x", batch.OutsideOpts{Metadata: []int{1}}); err == nil {
		t.Error("metadata that is no object")
	}
}
