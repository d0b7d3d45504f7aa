package deploytest

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stage is one FROM of a Dockerfile and what follows it.
type stage struct {
	from, name   string
	instructions []instruction
}

type instruction struct{ name, args string }

// parseDockerfile reads as much as ours has: no heredocs, no ARG before FROM.
func parseDockerfile(text string) []stage {
	var stages []stage
	var logical strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			logical.WriteString(rest)
			continue
		}
		logical.WriteString(line)
		name, args, _ := strings.Cut(logical.String(), " ")
		logical.Reset()
		args = strings.TrimSpace(args)
		if name == "FROM" {
			from, as, _ := strings.Cut(args, " AS ")
			stages = append(stages, stage{from: from, name: as})
			continue
		}
		if len(stages) > 0 {
			last := &stages[len(stages)-1]
			last.instructions = append(last.instructions, instruction{name, args})
		}
	}
	return stages
}

// all are the arguments of each instruction of that name.
func (s stage) all(name string) []string {
	var all []string
	for _, i := range s.instructions {
		if i.name == name {
			all = append(all, i.args)
		}
	}
	return all
}

// only is all for an instruction that must be there once.
func (s stage) only(t *testing.T, name string) string {
	t.Helper()
	all := s.all(name)
	if len(all) != 1 {
		t.Fatalf("Dockerfile: %d %s in the stage FROM %s, want one", len(all), name, s.from)
	}
	return all[0]
}

// argv is an instruction in its exec form, which needs no shell.
func argv(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("Dockerfile: %s is not in exec form, and there is no shell: %v", text, err)
	}
	return all
}

func setupDockerfile(t *testing.T) (build, final stage) {
	t.Helper()
	stages := parseDockerfile(read(t, repository(), "Dockerfile"))
	if len(stages) != 2 {
		t.Fatalf("Dockerfile: %d stages, want 2", len(stages))
	}
	return stages[0], stages[1]
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	build, final := setupDockerfile(t)
	cfg, err := composeConfig(repository())
	if err != nil {
		t.Fatal(err)
	}

	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, repository(), "go.mod"))
	if version == nil || !strings.HasPrefix(build.from, "golang:"+version[1]+"-") {
		t.Errorf("built FROM %s, but go.mod says go %s", build.from, version)
	}
	if final.from != "scratch" {
		t.Errorf("the image is FROM %s, want scratch", final.from)
	}
	for _, args := range final.all("COPY") {
		if !strings.HasPrefix(args, "--from="+build.name+" ") {
			t.Errorf("COPY %s is not from the stage %q", args, build.name)
		}
	}
	if user := final.only(t, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s is not the number of an ordinary user", user)
	}
	if signal := final.only(t, "STOPSIGNAL"); signal != "SIGTERM" {
		t.Errorf("STOPSIGNAL %s, but SIGTERM is what drains a worker", signal)
	}
	entry := argv(t, final.only(t, "ENTRYPOINT"))
	if !slices.Equal(entry, []string{"/tidemill"}) {
		t.Errorf("ENTRYPOINT %q, want /tidemill", entry)
	}
	report(t, checkCommand(t, "Dockerfile: CMD", argv(t, final.only(t, "CMD"))))
	_, check, found := strings.Cut(final.only(t, "HEALTHCHECK"), "CMD ")
	if probe := argv(t, check); !found || len(probe) < 2 || probe[0] != entry[0] {
		t.Errorf("HEALTHCHECK runs %q, want %s", probe, entry)
	} else {
		report(t, checkCommand(t, "Dockerfile: HEALTHCHECK", probe[1:]))
	}
	exposed := strings.Fields(final.only(t, "EXPOSE"))
	if want := []string{portOf(cfg.Server.Listen), portOf(cfg.Metrics.Listen)}; !slices.Equal(exposed, want) {
		t.Errorf("EXPOSE %q, but the configuration of compose.yaml listens at %q", exposed, want)
	}
	if env := final.only(t, "ENV"); env != "TIDEMILL_CONFIG=/etc/tidemill/tidemill.yaml" {
		t.Errorf("ENV %s, want TIDEMILL_CONFIG", env)
	}
}

// A context that leaves out a file that git has would be built as changed: go compares the two for the version.
func TestDockerignoreLeavesTheRepositoryWhole(t *testing.T) {
	t.Parallel()
	// A checkout may belong to another user.
	out, err := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var patterns []string
	for line := range strings.Lines(read(t, repository(), ".dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, strings.TrimPrefix(line, "/"))
		}
	}
	if !slices.Contains(patterns, ".env") {
		t.Error(".dockerignore lets .env, which holds secrets, into the image's build")
	}
	for name := range strings.Lines(string(out)) {
		for dir := strings.TrimSpace(name); dir != "."; dir = path.Dir(dir) {
			for _, pattern := range patterns {
				if ignores(t, pattern, dir) {
					t.Errorf(".dockerignore: %s leaves out %s", pattern, strings.TrimSpace(name))
				}
			}
		}
	}
}

func ignores(t *testing.T, pattern, name string) bool {
	t.Helper()
	anywhere, deep := strings.CutPrefix(pattern, "**/")
	if deep {
		name = path.Base(name)
	}
	ok, err := path.Match(anywhere, name)
	if err != nil {
		t.Fatalf(".dockerignore: %s: %v", pattern, err)
	}
	return ok
}

// buildLine is the command of the Dockerfile that builds the program.
func buildLine(t *testing.T) string {
	t.Helper()
	build, _ := setupDockerfile(t)
	for _, run := range build.all("RUN") {
		if strings.Contains(run, "go build") {
			return run
		}
	}
	t.Fatal("Dockerfile: no RUN has go build")
	return ""
}

// buildProgram runs that command here and returns the program's path.
func buildProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	line := strings.ReplaceAll(buildLine(t), "/out/", dir+"/")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return filepath.Join(dir, "tidemill")
}

// checkStatic reports what a program needs that an image from scratch does not have.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", program)
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("%s needs the libraries %q (%v)", program, libraries, err)
	}
}
