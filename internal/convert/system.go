package convert

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	userRE = regexp.MustCompile(`^[a-z_][a-z0-9_.-]*\$?$`)
	wordRE = regexp.MustCompile(`^[A-Za-z_][\w.-]*$`)
	// headerRE is the comment over the fields that crontabs come with: "m h dom mon dow user command".
	headerRE = regexp.MustCompile(`(?im)^\s*#.*(?:\bdow|\bday of week|\*)\s+(user(?:[-_ ]?name)?\s+)?(?:command|cmd)\b`)
	// graphileRE is a task with options or a payload, as graphile-worker has them.
	graphileRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_:.-]*(?:\s+\?[a-z]\S*)?(?:\s+\{.*\})?$`)
)

// systemUsers are those that no one takes for a command.
func systemUsers() []string {
	return []string{"root", "daemon", "nobody", "www-data", "www", "http", "httpd", "apache", "nginx", "postgres", "mysql", "redis", "deploy", "deployer",
		"ubuntu", "ec2-user", "centos", "debian", "admin", "vagrant", "app", "rails", "munin", "list", "logcheck", "smmsp", "ntp", "clamav"}
}

// programs are those that begin the commands of crontabs. None of them is a user's name.
func programs() []string {
	return []string{"cd", "test", "echo", "printf", "exec", "export", "source", "set", "if", "for", "while", "true", "sleep", "date", "env", "nice", "ionice",
		"flock", "timeout", "sudo", "su", "sh", "bash", "zsh", "dash", "ksh", "ruby", "bundle", "rake", "rails", "python", "python2", "python3", "perl", "php", "node",
		"npm", "npx", "yarn", "pnpm", "deno", "bun", "java", "go", "make", "docker", "docker-compose", "podman", "kubectl", "curl", "wget", "rsync", "scp", "ssh",
		"find", "rm", "cp", "mv", "ln", "mkdir", "touch", "cat", "tar", "gzip", "zip", "chmod", "chown", "kill", "pkill", "killall", "systemctl", "service", "certbot",
		"logrotate", "pg_dump", "pg_dumpall", "psql", "vacuumdb", "mysqldump", "mysqladmin", "redis-cli", "aws", "gsutil", "gcloud", "s3cmd", "restic", "borg", "duplicity",
		"ntpdate", "run-parts", "command", "time", "chronic", "cronic", "wp", "artisan", "drush", "apt-get", "dnf", "yum", "updatedb", "sendmail", "tidemill"}
}

type column int

const (
	unknownColumn column = iota
	noColumn
	userColumn
)

// columnOf is what a line says about whether users are named, by the words after its time.
func columnOf(command string) column {
	words := strings.Fields(command)
	if len(words) < 2 || !userRE.MatchString(words[0]) || slices.Contains(programs(), words[0]) {
		return noColumn
	}
	if !beginsCommand(words[1]) {
		return noColumn // an option, a redirection, a number
	}
	if slices.Contains(systemUsers(), words[0]) {
		return userColumn
	}
	return unknownColumn
}

func beginsCommand(word string) bool {
	return word == "[" || word == "[[" || word == "." || strings.ContainsAny(word[:1], `/~$("'.`) || assignRE.MatchString(word) ||
		wordRE.MatchString(word)
}

// isSystem reports whether the lines name a user: by where the file is, by the comment over the fields, or because most
// lines have a user there. The error is for files of which that is not certain: a user that is run as a command is as
// wrong as a command that is taken for a user.
func isSystem(name, text string) (bool, error) {
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if strings.HasSuffix("/"+name, "/etc/crontab") || strings.HasSuffix(path.Dir(name), "cron.d") {
		return true, nil
	}
	if m := headerRE.FindStringSubmatch(text); m != nil {
		return m[1] != "", nil
	}
	count := map[column]int{}
	total, doubtful, doubt := 0, 0, ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "#") || !cronLineRE.MatchString(line) {
			continue
		}
		_, command := splitTime(strings.TrimSpace(line))
		kind := columnOf(command)
		count[kind]++
		total++
		if kind != noColumn && doubt == "" {
			doubtful, doubt = number, strings.Fields(command)[0]
		}
	}
	switch {
	case count[userColumn]*2 > total:
		return true, nil
	case count[userColumn] == 0 && (count[noColumn] > 0 || total == 0):
		return false, nil
	}
	return false, fmt.Errorf("%s:%d: %q may be a user or a command; say --system if the lines name a user, as those of /etc/crontab do, or --system=false", name, doubtful, doubt)
}

// graphile is the first line that is a task of graphile-worker, 0 if there is none. All lines of such a file are tasks,
// also those that would pass for commands.
func graphile(text string) int {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "#") || !cronLineRE.MatchString(line) {
			continue
		}
		_, task := splitTime(strings.TrimSpace(line))
		if strings.ContainsAny(task, "?{") && graphileRE.MatchString(task) {
			return number
		}
	}
	return 0
}
