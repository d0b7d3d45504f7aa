package config

import "strings"

func serverFields() object[Server] {
	return object[Server]{
		row("listen", text{words: "`host:port`", check: checkListen("127.0.0.1:8080")}, `"127.0.0.1:8080"`, "Address to listen on; `\"\"` is none. Whoever reaches it can read `/livez` and `/readyz`.",
			func(s *Server) *string { return &s.Listen }),
		row("cron_secret", textOrTexts{"text, or list of texts", text{secret: true, check: checkBearer}}, "", "Opens `/api/cron/SCHEDULE`, which triggers a schedule, and nothing else, to requests with `Authorization: Bearer` and this text, as cron jobs of Vercel send them: at least 16 ASCII characters without spaces. With several, each opens it, so that one can be replaced without a gap. Without any, all below `/api/cron/` is answered with 404.",
			func(s *Server) *[]string { return &s.CronSecrets }),
		row("tokens", tokens{section[Token]{tokenFields()}}, "", "Who may use the API and the page. These are not built yet, so a token opens nothing so far; `/api/cron/` it never does.",
			func(s *Server) *[]Token { return &s.Tokens }),
	}
}

func tokenFields() object[Token] {
	return object[Token]{
		row("name", text{words: "name", pattern: jobNamePattern, check: checkTokenName}, "", "Whose it is, for the record; formed like the name of a job.",
			func(t *Token) *string { return &t.Name }).needed(),
		row("role", choice{RoleViewer, RoleOperator, RoleAdmin}, "", "What its bearer may do: look; also start, pause, cancel and retry; everything.",
			func(t *Token) *string { return &t.Role }).needed(),
		row("token", text{words: "text", secret: true, check: checkBearer}, "", "What requests carry in `Authorization: Bearer`: at least 16 ASCII characters without spaces. Keep it in the environment.",
			func(t *Token) *string { return &t.Token }).needed(),
	}
}

// tokens is a list of mappings.
type tokens struct{ each section[Token] }

// read keeps an item that has problems, so that the others keep their number.
func (t tokens) read(d *decoder, v value, into *[]Token) {
	if !d.is(v, listNode, "a list of mappings with name, role and token") {
		return
	}
	out := make([]Token, len(v.node.items))
	for i := range v.node.items {
		t.each.read(d, v.item(i), &out[i])
	}
	*into = out
}

func (t tokens) shape() shape {
	each := t.each.shape()
	return shape{
		words:    "list of mappings",
		schema:   map[string]any{"type": []string{"array", "null"}, "items": each.schema},
		optional: true,
		keys:     "[]",
		fields:   each.fields,
	}
}

const minBearer = 16 // what Vercel recommends for a cron secret

// checkBearer judges a secret that is sent in a header as it is.
func checkBearer(s string) (problem, hint string) {
	const example = "make one with: openssl rand -hex 32"
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "holds a space or another character that a header cannot carry", example
	case len(s) < minBearer:
		return "is shorter than 16 characters", example
	}
	return "", ""
}

func checkTokenName(s string) (problem, hint string) {
	if !isJobName(s) {
		return "is not the name of a token", jobNameHint
	}
	return "", ""
}

// checkServer keeps apart what opens different doors.
func (d *Checker) checkServer() {
	at := path{"server"}
	names, secrets := map[string]int{}, map[string]int{}
	for i, t := range d.Config.Server.Tokens {
		item := at.join("tokens", index(i))
		if first, dup := names[t.Name]; dup && t.Name != "" && d.sure(item, "name") {
			d.problem(item.join("name"), "choose another", "%q is the name of tokens[%d] too", d.shown(item.join("name"), t.Name), first)
		} else if !dup {
			names[t.Name] = i
		}
		if t.Token == "" || !d.sure(item, "token") {
			continue
		}
		if first, dup := secrets[t.Token]; dup {
			d.problem(item.join("token"), "give each a token of its own", "is that of tokens[%d] too", first)
			continue
		}
		secrets[t.Token] = i
	}
	if !d.sure(at, "cron_secret") {
		return
	}
	for _, s := range d.Config.Server.CronSecrets {
		if i, dup := secrets[s]; dup {
			d.problem(at.join("tokens", index(i), "token"), "a cron_secret opens nothing but /api/cron/", "is a cron_secret too")
		}
	}
}
