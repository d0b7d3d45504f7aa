package config

import (
	"strings"

	"github.com/tidemill/tidemill/config/field"
)

func serverFields() field.Table[Server] {
	return field.Table[Server]{
		field.Row("listen", field.Text{Words: "`host:port`", Check: checkListen("127.0.0.1:8080")}, `"127.0.0.1:8080"`, "Address to listen on; `\"\"` is none. Whoever reaches it can read `/livez` and `/readyz`.",
			func(s *Server) *string { return &s.Listen }),
		field.Row("cron_secret", field.TextOrTexts{Words: "text, or list of texts", Each: field.Text{Secret: true, Check: checkBearer}}, "", "Opens `/api/cron/SCHEDULE`, which triggers a schedule, and nothing else, to requests with `Authorization: Bearer` and this text, as cron jobs of Vercel send them: at least 16 ASCII characters without spaces. With several, each opens it, so that one can be replaced without a gap. Without any, all below `/api/cron/` is answered with 404.",
			func(s *Server) *[]string { return &s.CronSecrets }),
		field.Row("tokens", tokens{field.Section[Token]{Fields: tokenFields()}}, "", "Who may use the API and the page. These are not built yet, so a token opens nothing so far; `/api/cron/` it never does.",
			func(s *Server) *[]Token { return &s.Tokens }),
	}
}

func tokenFields() field.Table[Token] {
	return field.Table[Token]{
		field.Row("name", field.Text{Words: "name", Pattern: jobNamePattern, Check: checkTokenName}, "", "Whose it is, for the record; formed like the name of a job.",
			func(t *Token) *string { return &t.Name }).Require(),
		field.Row("role", field.Choice{RoleViewer, RoleOperator, RoleAdmin}, "", "What its bearer may do: look; also start, pause, cancel and retry; everything.",
			func(t *Token) *string { return &t.Role }).Require(),
		field.Row("token", field.Text{Words: "text", Secret: true, Check: checkBearer}, "", "What requests carry in `Authorization: Bearer`: at least 16 ASCII characters without spaces. Keep it in the environment.",
			func(t *Token) *string { return &t.Token }).Require(),
	}
}

// tokens is a list of mappings.
type tokens struct{ each field.Section[Token] }

// Read keeps an item that has problems, so that the others keep their number.
func (t tokens) Read(d *field.Checker, v field.Value, into *[]Token) {
	if !d.Is(v, field.ListNode, "a list of mappings with name, role and token") {
		return
	}
	out := make([]Token, len(v.Node.Items))
	for i := range v.Node.Items {
		t.each.Read(d, v.Item(i), &out[i])
	}
	*into = out
}

func (t tokens) Meta() field.Meta {
	each := t.each.Meta()
	return field.Meta{
		Words:    "list of mappings",
		Schema:   map[string]any{"type": []string{"array", "null"}, "items": each.Schema},
		Optional: true,
		Keys:     "[]",
		Fields:   each.Fields,
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
	at := field.Path{"server"}
	names, secrets := map[string]int{}, map[string]int{}
	for i, t := range d.Config.Server.Tokens {
		item := at.Join("tokens", field.Index(i))
		if first, dup := names[t.Name]; dup && t.Name != "" && d.Checkable(item, "name") {
			d.Problem(item.Join("name"), "choose another", "%q is the name of tokens[%d] too", d.SourceText(item.Join("name"), t.Name), first)
		} else if !dup {
			names[t.Name] = i
		}
		if t.Token == "" || !d.Checkable(item, "token") {
			continue
		}
		if first, dup := secrets[t.Token]; dup {
			d.Problem(item.Join("token"), "give each a token of its own", "is that of tokens[%d] too", first)
			continue
		}
		secrets[t.Token] = i
	}
	if !d.Checkable(at, "cron_secret") {
		return
	}
	for _, s := range d.Config.Server.CronSecrets {
		if i, dup := secrets[s]; dup {
			d.Problem(at.Join("tokens", field.Index(i), "token"), "a cron_secret opens nothing but /api/cron/", "is a cron_secret too")
		}
	}
}
