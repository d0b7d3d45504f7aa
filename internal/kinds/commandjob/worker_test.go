package commandjob_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/commandjob"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

type commandBundle struct {
	*testengine.Engine

	def  *config.Job
	logs *commandLog
}

// commandLog keeps what a worker logs, and tells a test when there is more.
type commandLog struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *commandLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *commandLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until the log has text.
func (l *commandLog) wait(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.more:
		case <-timeout:
			t.Fatalf("the log lacks %q:\n%s", text, l)
		}
	}
}

// setupCommand starts a worker on a new database whose one job, "task", is that command; of a failed attempt the next
// one follows at once.
func setupCommand(t *testing.T, command commandjob.Config) *commandBundle {
	t.Helper()
	return startCommand(t, testengine.URL(t), command)
}

func startCommand(t *testing.T, url string, command commandjob.Config) *commandBundle {
	t.Helper()
	if command.MaxOutput == 0 {
		command.MaxOutput = 1 << 10
	}
	if command.Timeout == 0 {
		command.Timeout = time.Minute
	}
	b := &commandBundle{
		def:  &config.Job{Name: "task", Kind: "command", Spec: &command},
		logs: &commandLog{more: make(chan struct{}, 1)},
	}
	retries := retry.NewPlugin(retry.PluginOpts{Default: retry.Policy{Backoff: retry.Constant, Delay: time.Millisecond, Jitter: -1}})
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	b.Engine = testengine.Start(t, url, func(w *river.Workers) {
		river.AddWorker(w, commandjob.NewWorker(&kind.Deps{
			Jobs:     func(name string) (*config.Job, bool) { return b.def, name == b.def.Name },
			Location: tokyo,
			Logger:   slog.New(slog.NewTextHandler(b.logs, nil)),
		}))
	}, func(c *river.Config) {
		c.Plugins = append(c.Plugins, retries)
		c.RetryPolicy = retries
	})
	return b
}

func shellCommand(script string) commandjob.Config {
	return commandjob.Config{Argv: []string{"/bin/sh", "-c", script}}
}

func (b *commandBundle) start(t *testing.T, args kind.Args) int64 {
	t.Helper()
	args.Job = "task"
	inserted, err := b.Client.Insert(context.Background(), commandjob.Args{Args: args}, &river.InsertOpts{MaxAttempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	return inserted.Job.ID
}

// end waits until a run is at its end.
func (b *commandBundle) end(t *testing.T, id int64) *rivertype.JobRow {
	t.Helper()
	timeout := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		row, err := b.Client.JobGet(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if row.FinalizedAt != nil {
			return row
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("run %d is %s: %v", id, row.State, row.Errors)
		}
	}
}

func commandErrors(row *rivertype.JobRow) (all []string) {
	for _, e := range row.Errors {
		all = append(all, e.Error)
	}
	return all
}

func commandOutput(t *testing.T, row *rivertype.JobRow) (result commandjob.Result) {
	t.Helper()
	if err := json.Unmarshal(row.Output(), &result); err != nil {
		t.Fatalf("output %q: %v", row.Output(), err)
	}
	if result.DurationMS < 0 || result.DurationMS > 30_000 {
		t.Errorf("took %d ms", result.DurationMS)
	}
	result.DurationMS = 0
	return result
}

func TestCommandOutcomes(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	tests := []struct {
		name    string
		command commandjob.Config
		state   rivertype.JobState
		errors  []string
		result  commandjob.Result // zero: none is recorded
	}{
		{
			"success", shellCommand("echo one; echo two >&2"),
			rivertype.JobStateCompleted, nil, commandjob.Result{Output: "one\ntwo\n"},
		},
		{
			"what PostgreSQL would refuse", shellCommand(`printf 'a\0b\377\n'`),
			rivertype.JobStateCompleted, nil, commandjob.Result{Output: "a\ufffdb\ufffd\n"},
		},
		{
			"success at the second attempt", shellCommand(`echo "attempt $TIDEMILL_ATTEMPT"; [ $TIDEMILL_ATTEMPT = 2 ]`),
			rivertype.JobStateCompleted, []string{"exit status 1: attempt 1"}, commandjob.Result{Output: "attempt 2\n"},
		},
		{
			"failure", shellCommand(`echo broken; printf '\0\n'; exit 3`),
			rivertype.JobStateDiscarded, []string{"exit status 3: \ufffd", "exit status 3: \ufffd"},
			commandjob.Result{ExitCode: 3, Output: "broken\n\ufffd\n"},
		},
		{
			"signal", shellCommand("kill -SEGV $$"),
			rivertype.JobStateDiscarded, []string{"ended by SIGSEGV", "ended by SIGSEGV"},
			commandjob.Result{ExitCode: -1, Signal: "SIGSEGV"},
		},
		{
			"timeout", commandjob.Config{Argv: []string{"sleep", "1000"}, Timeout: 50 * time.Millisecond},
			rivertype.JobStateDiscarded, []string{"ended after 50ms (timeout)", "ended after 50ms (timeout)"},
			commandjob.Result{ExitCode: -1, Signal: "SIGTERM"},
		},
		{
			"much output", commandjob.Config{Argv: []string{"/bin/sh", "-c", "printf 0123456789abcdef; echo end"}, MaxOutput: 12},
			rivertype.JobStateCompleted, nil, commandjob.Result{Output: "012\n… 8 bytes left out …\nbcdefend\n", Truncated: true},
		},
		{
			"no such program", commandjob.Config{Argv: []string{"no-such"}, Env: map[string]string{"PATH": "/bin"}},
			rivertype.JobStateDiscarded,
			[]string{"program no-such is not in PATH (/bin); write its full path in argv, or set PATH in env"}, commandjob.Result{},
		},
		{
			"no such directory", commandjob.Config{Argv: []string{"true"}, Dir: filepath.Join(dir, "no")},
			rivertype.JobStateDiscarded, []string{"dir " + dir + "/no does not exist on this machine"}, commandjob.Result{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupCommand(t, tt.command)
			row := b.end(t, b.start(t, kind.Args{}))
			if row.State != tt.state {
				t.Errorf("state is %s, want %s", row.State, tt.state)
			}
			if diff := cmp.Diff(tt.errors, commandErrors(row)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if tt.result == (commandjob.Result{}) {
				if row.Output() != nil {
					t.Errorf("records %s", row.Output())
				}
				return
			}
			if diff := cmp.Diff(tt.result, commandOutput(t, row)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommandIsToldWhatItIsFor(t *testing.T) {
	t.Parallel()

	command := shellCommand("cat; env | grep '^TIDEMILL_\\|^RAILS_ENV\\|^HOME=' | LC_ALL=C sort; pwd -P")
	command.Env = map[string]string{"RAILS_ENV": "production", "TIDEMILL_JOB": "not this"}
	command.MaxOutput = 1 << 20
	command.Dir = "/"
	b := setupCommand(t, command)
	due := time.Date(2026, 3, 1, 9, 0, 0, 0, time.FixedZone("", 9*60*60))
	long := strings.Repeat("x", 200<<10)
	params, err := json.Marshal(map[string]any{
		"day": "2026-03-01", "user-id": 12345678901234567, "dry": true, "list": []int{1}, "none": nil, "quoted": "$(id) \"é\"\nx",
	})
	if err != nil {
		t.Fatal(err)
	}
	id := b.start(t, kind.Args{Params: params, ScheduledFor: &due})
	row := b.end(t, id)
	text := commandOutput(t, row).Output
	line, rest, _ := strings.Cut(text, "\n")

	var input map[string]any
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&input); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	run := strings.TrimSpace(jsonText(t, id))
	wantInput := map[string]any{
		"id": input["id"], "run": run, "job": "task", "attempt": json.Number("1"), "scheduled_for": "2026-03-01T09:00:00+09:00",
		"params": map[string]any{
			"day": "2026-03-01", "user-id": json.Number("12345678901234567"), "dry": true, "list": []any{json.Number("1")}, "none": nil,
			"quoted": "$(id) \"é\"\nx",
		},
	}
	if diff := cmp.Diff(wantInput, input); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	wantEnv := strings.Join([]string{
		"HOME=" + os.Getenv("HOME"),
		"RAILS_ENV=production",
		"TIDEMILL_ATTEMPT=1",
		"TIDEMILL_ID=" + input["id"].(string),
		"TIDEMILL_JOB=task",
		`TIDEMILL_PARAMS={"day":"2026-03-01","dry":true,"list":[1],"none":null,"quoted":"$(id) \"é\"\nx","user-id":12345678901234567}`,
		"TIDEMILL_PARAM_DAY=2026-03-01",
		"TIDEMILL_PARAM_DRY=true",
		"TIDEMILL_PARAM_QUOTED=$(id) \"é\"", // grep takes lines
		"TIDEMILL_PARAM_USER_ID=12345678901234567",
		"TIDEMILL_RUN=" + run,
		"TIDEMILL_SCHEDULED_FOR=2026-03-01T09:00:00+09:00",
		"/", "",
	}, "\n")
	if diff := cmp.Diff(wantEnv, rest); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}

	row = b.end(t, b.start(t, kind.Args{Params: json.RawMessage(`{"long": "` + long + `"}`)}))
	if out := commandOutput(t, row).Output; !strings.Contains(out, `"long":"`+long+`"`) || strings.Contains(out, "TIDEMILL_PARAM") {
		t.Errorf("long params: %.300s", out)
	}
	_, rest, _ = strings.Cut(commandOutput(t, row).Output, "\n")
	if created := row.CreatedAt.In(time.FixedZone("", 9*60*60)).Format(time.RFC3339); !strings.Contains(rest, "TIDEMILL_SCHEDULED_FOR="+created+"\n") {
		t.Errorf("without a due time the run is due at its start, %s: %s", created, rest)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCommandRefusesParams(t *testing.T) {
	t.Parallel()

	b := setupCommand(t, shellCommand("echo started"))
	b.def.Params = []config.Param{{Name: "day", Type: config.DateParam}}
	row := b.end(t, b.start(t, kind.Args{Params: json.RawMessage(`{"day": "tomorrow"}`)}))
	if row.State != rivertype.JobStateDiscarded || len(row.Errors) != 1 || !strings.Contains(row.Errors[0].Error, `"day"`) {
		t.Errorf("%s: %v", row.State, commandErrors(row))
	}
	if row.Output() != nil {
		t.Errorf("the command has run: %s", row.Output())
	}
}

func TestCommandLogsItsOutput(t *testing.T) {
	t.Parallel()

	b := setupCommand(t, shellCommand("echo 'the first line'; read -r line; sleep 1000"))
	id := b.start(t, kind.Args{})
	b.logs.wait(t, `level=INFO msg="command output" job=task run_id=`+jsonText(t, id)+` attempt=1 line="the first line"`)
	if _, err := b.Client.JobCancel(context.Background(), id); err != nil { // while it still runs
		t.Fatal(err)
	}
	if row := b.end(t, id); row.State != rivertype.JobStateCancelled || commandOutput(t, row).Output != "the first line\n" {
		t.Errorf("%s: %s", row.State, row.Output())
	}
}

func TestCommandIsGivenBackWhenTheWorkerStops(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	command := shellCommand(`if [ -e again ]; then echo "run $TIDEMILL_RUN attempt $TIDEMILL_ATTEMPT"; exit 0; fi
		trap 'touch again; exit 0' TERM; echo working; sleep 1000 & wait`)
	command.Dir = dir
	url := testengine.URL(t)
	b := startCommand(t, url, command)
	id := b.start(t, kind.Args{})
	b.logs.wait(t, "line=working")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.Client.StopAndCancel(ctx); err != nil {
		t.Fatal(err)
	}
	row, err := b.Client.JobGet(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if row.State != rivertype.JobStateAvailable || row.Attempt != 0 || len(row.Errors) != 0 {
		t.Errorf("%s after %d attempts: %v", row.State, row.Attempt, commandErrors(row))
	}
	if _, err := os.Stat(filepath.Join(dir, "again")); err != nil {
		t.Errorf("the command was not asked to end: %v", err)
	}

	next := startCommand(t, url, command)
	row = next.end(t, id)
	if want := "run " + jsonText(t, id) + " attempt 1\n"; row.State != rivertype.JobStateCompleted || commandOutput(t, row).Output != want {
		t.Errorf("%s: %s, want %q", row.State, row.Output(), want)
	}
}

func TestCommandTimeoutIsLongerThanItsOwn(t *testing.T) {
	t.Parallel()

	def := &config.Job{Name: "task", Kind: "command", Spec: &commandjob.Config{Timeout: time.Hour}}
	w := commandjob.NewWorker(&kind.Deps{Jobs: func(name string) (*config.Job, bool) { return def, name == "task" }})
	task := &river.Job[commandjob.Args]{Args: commandjob.Args{Args: kind.Args{Job: "task"}}}
	if got := w.Timeout(task); got <= time.Hour {
		t.Errorf("River ends it after %s", got)
	}
	def.Spec.(*commandjob.Config).Timeout = 0
	if got := w.Timeout(task); got != -1 {
		t.Errorf("without a timeout of its own River ends it after %s", got)
	}
	task.Args.Job = "unknown"
	if got := w.Timeout(task); got != 0 {
		t.Errorf("an unknown job has a timeout of %s", got)
	}
}

// A command that says megabytes makes neither the log nor the row long; its end is kept.
func TestCommandOutputDoesNotFillTheLog(t *testing.T) {
	t.Parallel()

	for name, script := range map[string]string{
		"lines":       `yes 'all work and no play' | head -c 20000000; echo; echo the end`,
		"one line":    `head -c 20000000 /dev/zero | tr '\0' x; echo; echo the end`,
		"empty lines": `yes '' | head -c 5000000; echo the end`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupCommand(t, shellCommand(script))
			row := b.end(t, b.start(t, kind.Args{}))
			result := commandOutput(t, row)
			if row.State != rivertype.JobStateCompleted || !strings.HasSuffix(result.Output, "the end\n") || len(result.Output) > 2<<10 {
				t.Errorf("%s, output of %d bytes, %q", row.State, len(result.Output), result.Output[max(0, len(result.Output)-20):])
			}
			log := b.logs.String()
			t.Logf("a log of %d bytes", len(log))
			if len(log) > 32<<10 || !strings.Contains(log, "command output was left out of the log") {
				t.Errorf("a log of %d bytes", len(log))
			}
		})
	}
}
