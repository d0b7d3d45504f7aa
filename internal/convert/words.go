package convert

import (
	"path"
	"regexp"
	"strings"
)

// splitWords divides a command into its words as a shell does. It is false for one that needs a shell: for expansions,
// patterns, pipes and so on.
func splitWords(command string) (words []string, simple bool) {
	var word strings.Builder
	open := false // a word has begun, be it empty
	end := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case isBlank(c):
			end()
		case c == '\'':
			inside, rest, closed := strings.Cut(command[i+1:], "'")
			if !closed {
				return nil, false
			}
			word.WriteString(inside)
			open = true
			i = len(command) - len(rest) - 1
		case c == '"':
			inside, rest, closed := strings.Cut(command[i+1:], `"`)
			if !closed || strings.ContainsAny(inside, "$`\\!") {
				return nil, false
			}
			word.WriteString(inside)
			open = true
			i = len(command) - len(rest) - 1
		case c == '\\':
			if i+1 == len(command) {
				return nil, false
			}
			i++
			word.WriteByte(command[i])
			open = true
		case strings.IndexByte("|&;<>()$`*?[]{}~#!", c) >= 0:
			return nil, false
		default:
			word.WriteByte(c)
			open = true
		}
	}
	end()
	return words, len(words) > 0
}

var (
	assignRE = regexp.MustCompile(`^[A-Za-z_]\w*=`)
	numberRE = regexp.MustCompile(`^[0-9.]+[smhd]?$`)
	methodRE = regexp.MustCompile(`^[A-Z]\w*(?:::[A-Z]\w*)*(?:\.\w+)*`)
)

// commandNames are texts that a name can be made of, the best first: what the command runs, then the comment above it.
func commandNames(command string, comments []string) []string {
	var names []string
	if words, simple := splitWords(command); simple && len(words) > 2 && isShell(words[0]) && strings.HasPrefix(words[len(words)-2], "-") {
		command = words[len(words)-1] // of bash -l -c
	}
	if name := nameOf(command); name != "" {
		names = append(names, name)
	}
	if len(comments) > 0 {
		names = append(names, comments[len(comments)-1])
	}
	return append(names, "command")
}

func isShell(program string) bool {
	switch path.Base(program) {
	case "sh", "bash", "zsh", "dash", "ksh":
		return true
	}
	return false
}

// nameOf finds what a command line runs, after directories, variables and the programs that only start others.
func nameOf(command string) string {
	part := command
	for strings.HasPrefix(strings.TrimSpace(part), "cd ") {
		_, rest, found := strings.Cut(part, "&&")
		if !found {
			break
		}
		part = rest
	}
	part, _, _ = strings.Cut(part, "&&")
	words := strings.FieldsFunc(part, func(r rune) bool { return strings.ContainsRune(" \t\"';|<>()", r) })
	skip := false // the value of an option
	for _, word := range words {
		if skip {
			skip = false
			continue
		}
		switch base := path.Base(word); {
		case word == "-e", word == "--environment":
			skip = true
		case assignRE.MatchString(word), numberRE.MatchString(word), strings.HasPrefix(word, "-"), strings.HasPrefix(word, ":"):
		case isStarter(base):
		case plainName(base) == "", path.Ext(base) == ".lock":
		case methodRE.MatchString(word) && !strings.Contains(word, "/"):
			return methodRE.FindString(word)
		default:
			return strings.TrimSuffix(base, path.Ext(base))
		}
	}
	return ""
}

// isStarter reports whether a program only starts what its arguments name.
func isStarter(base string) bool {
	switch base {
	case "bundle", "exec", "rake", "rails", "runner", "env", "nice", "ionice", "flock", "timeout", "sudo", "bash", "sh", "zsh",
		"ruby", "python", "python3", "php", "node", "npm", "npx", "yarn", "pnpm", "run", "perl", "command", "time", "chronic":
		return true
	}
	return false
}
