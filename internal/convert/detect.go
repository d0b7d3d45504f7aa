package convert

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// clean checks the encoding and returns the text without byte order mark and with plain line ends.
func clean(name string, data []byte) (string, error) {
	if len(data) > MaxBytes {
		return "", fmt.Errorf("%s: the file is larger than 1 MiB", name)
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	line := 1
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return "", fmt.Errorf("%s:%d: byte 0x%02x is not UTF-8; save the file as UTF-8", name, line, text[i])
			}
		}
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return "", fmt.Errorf("%s:%d: control character %U; remove it", name, line, r)
		}
		if r == '\n' {
			line++
		}
	}
	if strings.TrimSpace(text) == "" {
		return "", fmt.Errorf("%s: the file is empty", name)
	}
	return text, nil
}

var (
	// cronLineRE is the beginning of a line of a crontab: five fields and a command, or @daily and one.
	cronLineRE = regexp.MustCompile(`^\s*(?:-?[0-9*][0-9*,/~-]*(?:\s+[0-9A-Za-z*,/~?#-]+){4}|@[a-z_]+|@[0-9]+)\s+\S`)
	envLineRE  = regexp.MustCompile(`^\s*["']?[A-Za-z_][A-Za-z0-9_]*["']?\s*=`)
	yamlLineRE = regexp.MustCompile(`^(?:---|- |:?["']?[A-Za-z0-9_][^=]*["']?\s*:(?:\s|$))`)
	rubyLineRE = regexp.MustCompile(`(?m)^\s*every\s+.*\bdo\b`)
)

// detect finds the format by the content; the name decides only where that can be two.
func detect(name, text string) (Format, error) {
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	const from = "say what it is with --from"
	if rubyLineRE.MatchString(text) {
		return "", errors.New("this is Whenever's schedule in Ruby; give what it makes of it: whenever | tidemill convert -")
	}
	if path.Ext(base) == ".rb" {
		return "", errors.New("this is a program in Ruby; write its schedule as sidekiq-cron has it in YAML, or by hand: docs/MOVING.md")
	}
	switch path.Ext(base) {
	case ".ts", ".js", ".mjs":
		return "", errors.New("this is a program; write its crons as JSON, as vercel.json has them")
	}
	for line := range strings.Lines(tagRE.ReplaceAllString(text, "")) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "", strings.HasPrefix(trimmed, "#"):
			continue
		case strings.HasPrefix(trimmed, "{"):
			return Vercel, nil
		case cronLineRE.MatchString(line), envLineRE.MatchString(line):
			return Crontab, nil
		case yamlLineRE.MatchString(line):
			return detectYAML(base, text)
		}
		return "", errors.New("neither a sidekiq.yml, a schedule of sidekiq-cron, a vercel.json nor a crontab; " + from)
	}
	if strings.Contains(base, "cron") {
		return "", errors.New("a crontab without a line that runs something")
	}
	return "", errors.New("only comments; " + from)
}

var settingRE = regexp.MustCompile(`(?m)^\s*:?(?:concurrency|queues|scheduler|schedule|max_retries|capsules):(?:\s|$)`)

// Files of others that would pass for one of ours.
var (
	kubernetesRE = regexp.MustCompile(`(?m)^(?:apiVersion|kind):\s*\S`)
	workflowRE   = regexp.MustCompile(`(?m)^["']?on["']?:`)
	workflowJobs = regexp.MustCompile(`(?m)^jobs:\s*$`)
	solidRE      = regexp.MustCompile(`(?m)^[ \t]+schedule:[ \t]*[^\s#{\[]`)
	solidQueueRE = regexp.MustCompile(`(?m)^\s*-?\s*(?:dispatchers|batch_size|concurrency_maintenance_interval|recurring_tasks):`)
)

func detectYAML(base, text string) (Format, error) {
	switch {
	case len(kubernetesRE.FindAllString(text, 2)) == 2:
		return "", errors.New("this is of Kubernetes; write the command of each CronJob as argv: of a job of kind command, its schedule and timeZone as those of a schedule, cron: and timezone: there")
	case workflowRE.MatchString(text) && workflowJobs.MatchString(text):
		return "", errors.New("this is a workflow of GitHub; write what its steps run as argv: of a job of kind command, and its cron: there, which is in UTC")
	case solidRE.MatchString(text), solidQueueRE.MatchString(text):
		return "", errors.New("this is of Solid Queue; write each class as a job of kind http, or of kind command with bin/rails runner, and its schedule as the cron: of a schedule")
	case settingRE.MatchString(text):
		return Sidekiq, nil
	case timeRE.MatchString(text):
		return SidekiqCron, nil
	case strings.HasPrefix(base, "sidekiq"):
		return Sidekiq, nil
	}
	return "", errors.New("YAML, but neither settings of Sidekiq nor a schedule of sidekiq-cron; say what it is with --from")
}

// timeRE finds an entry's time, also in a mapping in braces.
var timeRE = regexp.MustCompile(`(?m)(?:^|[\s{,])["']?:?(?:cron|every)["']?\s*:`)
