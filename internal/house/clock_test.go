package house

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// localClocks are the files that may look at this machine's clock, and why nothing that others read depends on it there. A
// row that ends in /... stands for a folder. What only measures how long something took needs none; see measures.
func localClocks() map[string]string {
	return map[string]string{
		"batch/chunk.go":         "the rate of a run since its last commit here",
		"batch/engine.go":        "default of Opts.Clock",
		"batch/upkeep.go":        "how often this process counts children",
		"batch/run.go":           "the rate of a run since its last commit here",
		"migrations/patience.go": "how long locks are waited for",
		"metrics/cluster.go":     "until when this process shows what it has read",
		"metrics/refresh.go":     "since when this process shows what it has read",
		"periodic/scheduler.go":  "when this process tries a failed schedule again",
		"run.go":                 "how long the process has been starting; since when that is, the database's clock says",
		"rescue/process.go":      "its own beats, and what came between them: the others count from those",
		"rescue/beat.go":         "how long no beat got through, on the monotonic clock, which others count by, too",
		"rescue/jobs.go":         "what had ended before the table was read",
		"rescue/orphans.go":      "what had ended before the table was read",
		"rescue/sweep.go":        "how long it has been watching the others itself",
		"retry/plugin.go":        "how far Opts.Clock is ahead of it",
		"retry/retry.go":         "corrected by what the plugin notes; without the plugin there is no other clock",

		"internal/childproc/...":      "how long a program of this machine is waited for",
		"internal/cli/exec.go":        "when a program began while the database was away, for people",
		"internal/cli/mail.go":        "a preview needs no database",
		"internal/cli/main.go":        "what is shown without a database",
		"internal/cli/progress.go":    "how often a line is drawn",
		"internal/dbclock/...":        "what it corrects",
		"internal/devdb/...":          "how long its own server is waited for",
		"internal/mail/...":           "deadlines of a connection",
		"internal/riverpg/times.go":   "how much time River means by what it took from this clock",
		"internal/server/cron.go":     "the deadline of an answer",
		"internal/storage/storage.go": "the date in an object's name, for people; it is random, and nothing reads it",

		"internal/kinds/commandjob/worker.go":  "how fast a command writes, for the log",
		"internal/kinds/commandjob/log.go":     "how fast a command writes, for the log",
		"internal/kinds/emailjob/preview.go":   "a mail that tries the server; it needs no database",
		"internal/kinds/importjob/atomic.go":   "how often progress is shown",
		"internal/kinds/importjob/scan.go":     "how often a look says that it continues",
		"internal/kinds/importjob/scan_run.go": "how often a look says that it continues",
		"workers/kind/args.go":                 "default of a worker's Clock",

		"bench/...": "measures",
	}
}

// What one machine decides others read: when a job is due, how late it is, whether it is too old, when a request was signed.
// Machines disagree about the time, so all of that goes by the database's clock.
func TestDecisionsGoByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	report(t, checkClocks(setup(t), localClocks()))
}

func checkClocks(r *repository, allowed map[string]string) []string {
	var problems []string
	used := map[string]bool{}
	for _, f := range r.goes {
		if f.support() {
			continue
		}
		measuring := measures(f.ast)
		ast.Inspect(f.ast, func(node ast.Node) bool {
			name := clockCall(node)
			if name == "" || measuring[node] {
				return true
			}
			row := clockRow(f, allowed)
			if row == "" {
				problems = append(problems, fmt.Sprintf("%s: time.%s is this machine's clock; take the database's (App.Now, Opts.Clock, or SQL's now()), or add the file to localClocks with the reason why nothing that others read depends on it",
					r.at(node), name))
			}
			used[row] = true
			return true
		})
	}
	for _, row := range slices.Sorted(maps.Keys(allowed)) {
		if !used[row] {
			problems = append(problems, row+" does not look at this machine's clock; take it out of localClocks")
		}
	}
	return problems
}

func clockRow(f *goFile, allowed map[string]string) string {
	for row := range allowed {
		folder, all := strings.CutSuffix(row, "/...")
		if row == f.path || all && (f.pkg == folder || strings.HasPrefix(f.pkg, folder+"/")) {
			return row
		}
	}
	return ""
}

// clockCall is Now, Since or Until where the node names that function of package time, called or not.
func clockCall(node ast.Node) string {
	sel, ok := node.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if on, ok := sel.X.(*ast.Ident); !ok || on.Name != "time" || !slices.Contains([]string{"Now", "Since", "Until"}, sel.Sel.Name) {
		return ""
	}
	return sel.Sel.Name
}

// measures finds the looks at the clock that only measure: of a variable that is time.Now() and is used for nothing but
// time.Since(it) or x.Sub(it), within one function. That is the monotonic clock, which nobody sets.
func measures(file *ast.File) map[ast.Node]bool {
	harmless := map[ast.Node]bool{}
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		began := map[string][]ast.Node{}  // variable to its looks at the clock
		ends := map[*ast.Ident]ast.Node{} // use of a variable that measures
		ast.Inspect(fn.Body, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					name, ok := left.(*ast.Ident)
					if !ok || len(n.Rhs) != len(n.Lhs) {
						continue
					}
					if call, ok := n.Rhs[i].(*ast.CallExpr); ok && clockCall(call.Fun) == "Now" {
						began[name.Name] = append(began[name.Name], call.Fun)
						ends[name] = nil
					}
				}
			case *ast.CallExpr:
				if len(n.Args) != 1 {
					break
				}
				arg, ok := n.Args[0].(*ast.Ident)
				sel, isSel := n.Fun.(*ast.SelectorExpr)
				if ok && isSel && (clockCall(sel) == "Since" || sel.Sel.Name == "Sub") {
					ends[arg] = sel
				}
			}
			return true
		})
		// Any other use of the variable may be a decision.
		other := map[string]bool{}
		ast.Inspect(fn.Body, func(node ast.Node) bool {
			if name, ok := node.(*ast.Ident); ok {
				if _, fine := ends[name]; !fine {
					other[name.Name] = true
				}
			}
			return true
		})
		for name, looks := range began {
			if other[name] {
				continue
			}
			for _, look := range looks {
				harmless[look] = true
			}
			for arg, sel := range ends {
				if sel != nil && arg.Name == name {
					harmless[sel] = true
				}
			}
		}
	}
	return harmless
}

func TestLooksAtTheClockAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"a/a.go": `package a

func due() time.Time { return time.Now().Add(time.Minute) }
func late(job Job) bool { return time.Since(job.CreatedAt) > time.Minute }
func left(at time.Time) time.Duration { return time.Until(at) }
func clock() Opts { return Opts{Clock: time.Now} }
func took() (d, e time.Duration) {
	began := time.Now()
	first, x := time.Now(), 1
	return time.Since(began), later.Sub(first)
}
func both() time.Duration {
	began := time.Now()
	store(began)
	return time.Since(began)
}
func timer() { time.After(1); now.Now(); clock.Since(began) }
`,
		"a/a_test.go":          "package a\n\nfunc f() { time.Now() }\n",
		"b/b.go":               "package b\n\nfunc f() { time.Now() }\n",
		"b/c.go":               "package b\n\nfunc f() { began := time.Now(); time.Since(began) }\n",
		"bench/x/d.go":         "package d\n\nfunc f() { time.Until(end) }\n",
		"internal/testdb/e.go": "package testdb\n\nfunc f() { time.Now() }\n",
	})
	allowed := map[string]string{"b/b.go": "allowed", "b/c.go": "only measures", "bench/...": "allowed", "c/...": "is not there"}
	want := []string{
		"a/a.go:3: time.Now is this machine's clock", "a/a.go:4: time.Since is this machine's clock", "a/a.go:5: time.Until is this machine's clock",
		"a/a.go:6: time.Now is this machine's clock", "a/a.go:13: time.Now is this machine's clock", "a/a.go:15: time.Since is this machine's clock",
		"b/c.go does not look at this machine's clock", "c/... does not look at this machine's clock",
	}
	if diff := cmp.Diff(want, rules(checkClocks(r, allowed))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
