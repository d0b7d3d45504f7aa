package emailjob

import (
	"net/mail"
	"regexp"
	"strings"
	"text/template/parse"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

const kindName = "email"

// configKind sends a mail.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Doc: "Sends a mail. `to`, `cc`, `bcc`, `subject`, `text` and `html` are templates of Go (packages text/template and html/template) over the params of the job. Needs the top-level `mail`.",
	}, fields())
}

// Config is what a job of kind email does. To, CC, BCC, Subject, Text and HTML are templates over the params.
type Config struct {
	From        string // empty: Mail.From
	ReplyTo     string
	To, CC, BCC []string
	Subject     string
	Template    string // name of a template in Mail.Templates; empty: Text and HTML
	Text, HTML  string
	Attach      []string // files on the worker's machine
	Timeout     time.Duration
}

// emailFields are the further fields of a job of kind email.
func fields() field.Table[Config] {
	recipients := field.TextOrTexts{Words: "text, or list of texts", Each: field.Text{Check: checkRecipients}}
	return field.Table[Config]{
		field.Row("to", recipients, "", "Recipients: `ops@example.com`, or `\"{{.email}}\"` with the param of that name.",
			func(e *Config) *[]string { return &e.To }).Require(),
		field.Row("cc", recipients, "", "Recipients of a copy.",
			func(e *Config) *[]string { return &e.CC }),
		field.Row("bcc", recipients, "", "Recipients of a copy whom the others do not see.",
			func(e *Config) *[]string { return &e.BCC }),
		field.Row("from", field.Text{Words: "mail address", Check: config.CheckAddress}, "", "Sender.",
			func(e *Config) *string { return &e.From }).Inherit("`mail.from`"),
		field.Row("reply_to", field.Text{Words: "mail address", Check: config.CheckAddress}, "", "Where an answer goes.",
			func(e *Config) *string { return &e.ReplyTo }),
		field.Row("subject", field.Text{Words: "template of one line", Check: checkSubject}, "", "Subject: `\"Hello {{.name}}\"`.",
			func(e *Config) *string { return &e.Subject }).Require(),
		field.Row("template", field.Text{Words: "name", Pattern: templatePattern, Check: checkTemplateName}, "", "Template of `mail.templates` that makes the body. Give this, or `text`, `html` or both.",
			func(e *Config) *string { return &e.Template }),
		field.Row("text", field.Text{Words: "template", Check: checkTemplate}, "", "Body as plain text.",
			func(e *Config) *string { return &e.Text }),
		field.Row("html", field.Text{Words: "template", Check: checkTemplate}, "", "Body as HTML; params are escaped.",
			func(e *Config) *string { return &e.HTML }),
		field.Row("attach", field.Texts{Item: "paths"}, "", "Files of the worker's machine that go with the mail.",
			func(e *Config) *[]string { return &e.Attach }),
		field.Row("timeout", field.Duration{Min: time.Second, Max: time.Hour}, "1m", "Longest time of one attempt.",
			func(e *Config) *time.Duration { return &e.Timeout }),
	}
}

type emailDefinition struct {
	From, ReplyTo string
	To, CC, BCC   []string
	Subject       string
	Template      string
	Text, HTML    string
	Attach        []string
}

// Check looks for what a mail needs of the job and of the top-level mail.
func (e *Config) Check(d *config.Checker, _ *config.Job, at field.Path) {
	m := d.Config.Mail
	if m.URL == "" && d.Checkable(field.Path{"mail"}, "url") {
		d.Problem(at.Join("kind"), `say how mail is sent: mail: {url: "${MAIL_URL}", from: jobs@example.com}`, "kind email needs mail.url")
	}
	if e.From == "" && m.From == "" && d.Checkable(field.Path{"mail"}, "from") && d.Checkable(at, "from") {
		d.Problem(at, "add from: here or to mail", "from is missing")
	}
	if !d.Checkable(at, "template", "text", "html") {
		return
	}
	inline := e.Text != "" || e.HTML != ""
	switch {
	case e.Template == "" && !inline:
		d.Problem(at, "add text:, html: or template:", "the mail has no body")
	case e.Template != "" && inline:
		d.Problem(at.Join("template"), "remove it, or text and html", "the body is given here and in text or html")
	case e.Template != "" && m.Templates == "" && d.Checkable(field.Path{"mail"}, "templates"):
		d.Problem(at.Join("template"), "say where templates are: mail: {templates: ./mail}", "needs mail.templates")
	}
	for i, file := range e.Attach {
		if file == "" {
			d.Problem(at.Join("attach", field.Index(i)), "", "names no file")
		}
	}
}

// Identity is all but the timeout.
func (e *Config) Identity() (string, any) {
	return "Email", emailDefinition{
		From: e.From, ReplyTo: e.ReplyTo, To: e.To, CC: e.CC, BCC: e.BCC, Subject: e.Subject,
		Template: e.Template, Text: e.Text, HTML: e.HTML, Attach: e.Attach,
	}
}

// Limits is the timeout.
func (e *Config) Limits() []any { return []any{e.Timeout} }

// checkRecipients judges a template only as such: what it makes is known when the job runs.
func checkRecipients(s string) (problem, hint string) {
	if strings.Contains(s, "{{") {
		return checkTemplate(s)
	}
	if _, err := mail.ParseAddressList(s); err != nil || strings.ContainsAny(s, "\r\n") {
		return "is not a mail address", "write it like jobs@example.com, or \"{{.email}}\" with a param"
	}
	return "", ""
}

func checkSubject(s string) (problem, hint string) {
	switch {
	case strings.TrimSpace(s) == "":
		return "is no subject", "say what the mail is about"
	case strings.ContainsAny(s, "\r\n"):
		return "has more than one line", ""
	}
	return checkTemplate(s)
}

// checkTemplate reads the template, but does not ask whether there are the functions that it names: whoever sends the
// mail has them.
func checkTemplate(s string) (problem, hint string) {
	tree := parse.New("line")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(s, "", "", map[string]*parse.Tree{}); err != nil {
		return "is not a template: " + strings.Replace(strings.TrimPrefix(err.Error(), "template: "), "line:", "line ", 1), ""
	}
	return "", ""
}

const templatePattern = `^[A-Za-z0-9][A-Za-z0-9_-]*$`

var templateRE = regexp.MustCompile(templatePattern)

// checkTemplateName refuses paths, so that nothing outside the directory is read.
func checkTemplateName(s string) (problem, hint string) {
	if !templateRE.MatchString(s) {
		return "is not the name of a template", "letters, digits, - and _; without directory and without .txt or .html"
	}
	return "", ""
}
