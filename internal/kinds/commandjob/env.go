package commandjob

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/childproc"
	"github.com/tidemill/tidemill/workers/kind"
)

// maxVariable is the longest value that goes into the environment; Linux takes 128 KiB with the name.
const maxVariable = 100 << 10

// command is the definition as a program to run, with what belongs to this attempt.
func (w *Worker) command(job *river.Job[Args], def *config.Job) (*childproc.Command, error) {
	due := job.Args.Due(job.JobRow, w.deps.Location)
	params, err := def.ResolveParams(job.Args.Params, due)
	if err != nil {
		return nil, err
	}
	input := job.Args.Payload(job.JobRow, params, due)
	stdin, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("encode the input: %w", err)
	}
	env, err := commandEnv(os.Environ(), def.Spec.(*Config).Env, input)
	if err != nil {
		return nil, err
	}
	return &childproc.Command{
		Argv: def.Spec.(*Config).Argv, Dir: def.Spec.(*Config).Dir, Env: env, Stdin: append(stdin, '\n'),
		Timeout: def.Spec.(*Config).Timeout, MaxOutput: def.Spec.(*Config).MaxOutput,
		Grace: commandGrace, StopGrace: commandStopGrace, OrphanGrace: commandOrphanGrace,
	}, nil
}

// commandEnv is the environment of a command: the worker's own, for what cron and systemd jobs get from it, then the
// definition's, then what is said of the attempt.
func commandEnv(own []string, defined map[string]string, input kind.Payload) ([]string, error) {
	var env []string
	for _, variable := range own {
		// The worker may itself have been started by a command, whose params are none of ours.
		if !strings.HasPrefix(variable, "TIDEMILL_PARAM") {
			env = append(env, variable)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(defined)) {
		env = append(env, name+"="+defined[name])
	}
	env = append(env,
		"TIDEMILL_JOB="+input.Job,
		"TIDEMILL_ID="+input.ID,
		"TIDEMILL_RUN="+input.Run,
		"TIDEMILL_ATTEMPT="+strconv.Itoa(input.Attempt),
		"TIDEMILL_SCHEDULED_FOR="+input.ScheduledFor)
	all, err := json.Marshal(input.Params)
	if err != nil {
		return nil, fmt.Errorf("encode the params: %w", err)
	}
	if len(all) <= maxVariable {
		env = append(env, "TIDEMILL_PARAMS="+string(all))
	}
	for _, name := range slices.Sorted(maps.Keys(input.Params)) {
		if value, ok := scalar(input.Params[name]); ok && len(value) <= maxVariable {
			env = append(env, "TIDEMILL_PARAM_"+variableName(name)+"="+value)
		}
	}
	return env, nil
}

// scalar is the text of a value that JSON writes as text, number or truth value.
func scalar(value any) (string, bool) {
	if text, ok := value.(string); ok {
		return text, true
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return "", false
	}
	switch encoded[0] {
	case '{', '[', 'n': // n is that of null
		return "", false
	case '"':
		var text string
		err := json.Unmarshal(encoded, &text)
		return text, err == nil
	}
	return string(encoded), true
}

// variableName makes the end of a variable's name: ASCII letters as capitals, digits, and _ for all else.
func variableName(param string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, param)
}
