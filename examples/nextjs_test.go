package examples

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/childproc"
)

func TestNextJS(t *testing.T) {
	t.Parallel()
	build := compileNextJS(t)
	t.Run("sign-up", func(t *testing.T) {
		t.Parallel()
		w := setup(t, "nextjs/tidemill.yaml", childproc.Command{Argv: []string{"node", filepath.Join(build, "harness", "server.js")}})
		w.work(t)
		signUps(t, w, "/api/signup")
		deliveries(t, w, "/api/jobs/welcome")
		littlePrivilege(t, w)
	})
	t.Run("sign-up through PgBouncer", func(t *testing.T) {
		t.Parallel()
		w := setupThrough(t, "nextjs/tidemill.yaml", childproc.Command{Argv: []string{"node", filepath.Join(build, "harness", "server.js")}}, pooled(t))
		w.work(t)
		signUps(t, w, "/api/signup")
	})
	t.Run("helpers", func(t *testing.T) {
		t.Parallel()
		testHelpers(t, build)
	})
}

// testHelpers calls lib/tidemill.ts with and without options, each of which must reach the job. Nobody works the jobs, so
// that they stay as they were inserted.
func testHelpers(t *testing.T, build string) {
	w := setup(t, "testdata/helpers.yaml", childproc.Command{Argv: []string{"node", "testdata/helpers.js", filepath.Join(build, "lib")}})
	const query = `SELECT concat_ws('|', state, kind, queue, priority, max_attempts, args::text, tags::text, scheduled_at - now() BETWEEN '59 min' AND '1 hour')
		FROM tidemill.river_job WHERE id = $1::text::bigint`
	none := map[string]any{}
	call := func(fn string, args ...any) string {
		t.Helper()
		status, answer := w.post(t, "/"+fn, args)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", fn, status, answer)
		}
		return strings.Trim(answer, `"`)
	}
	for _, tt := range []struct {
		fn   string
		args []any
		want string
	}{
		{"start", []any{"welcome"}, `available|tidemill.http|default|2|7|{"job": "welcome"}|{}|f`},
		{"start", []any{"welcome", map[string]any{"user": 7}}, `available|tidemill.http|default|2|7|{"job": "welcome", "params": {"user": 7}}|{}|f`},
		{"start", []any{"welcome", none, map[string]any{"queue": "low", "priority": 1, "notify": false}}, `available|tidemill.http|low|1|7|{"job": "welcome"}|{}|f`},
		{"enqueue", []any{"letter"}, `available|letter|default|1|10|{}|{}|f`},
		{
			"enqueue",
			[]any{"letter", map[string]any{"to": "me"}, map[string]any{
				"inSeconds": 3600, "queue": "low", "priority": 3, "notify": false, "maxAttempts": 2, "tags": []string{"one", "two"},
			}},
			`scheduled|letter|low|3|2|{"to": "me"}|{one,two}|t`,
		},
	} {
		if diff := cmp.Diff(tt.want, w.ask(t, query, call(tt.fn, tt.args...))); diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", tt.fn, tt.args, diff)
		}
	}

	key := map[string]any{"uniqueKey": "k"}
	first := call("enqueue", "letter", none, key)
	if again := call("enqueue", "letter", none, key); again != first {
		t.Errorf("unique key: job %s, and then %s", first, again)
	}
	if done := call("cancel", first); done != "true" {
		t.Errorf("cancel: %s", done)
	}
	if done := call("cancel", first); done != "false" {
		t.Errorf("cancel again: %s", done)
	}
	if next := call("enqueue", "letter", none, key); next == first {
		t.Error("the key of a cancelled job is still taken")
	}
}

// compileNextJS type-checks and compiles the example and returns the folder of the result.
func compileNextJS(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; type: apt-get install nodejs npm", err)
		}
	}
	modules := nodeModules(t)
	dir := t.TempDir()
	for _, sub := range []string{"app", "harness", "lib"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join("nextjs", sub))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"package.json", "tsconfig.json"} {
		content, err := os.ReadFile(filepath.Join("nextjs", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(modules, "typescript", "bin", "tsc"), "--project", "harness")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return filepath.Join(dir, "build")
}

// nodeModules is the folder of the example's packages, installed once for each lock file into the user's cache.
func nodeModules(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("nextjs/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("nextjs/package.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir() // no HOME: installed for this run
	}
	cache = filepath.Join(cache, "tidemill-test")
	hash := sha256.Sum256(append(lock, manifest...))
	dir := filepath.Join(cache, "nextjs-"+hex.EncodeToString(hash[:8]))
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}

	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	// Installed beside it and then renamed, so that nobody sees half a folder.
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for name, content := range map[string][]byte{"package-lock.json": lock, "package.json": manifest} {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v (the first run needs the package registry): %v\n%s", cmd.Args, err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return modules
}
