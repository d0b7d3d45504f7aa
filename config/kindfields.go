package config

import "time"

// httpFields are the further fields of a job of kind http.
func httpFields() object[HTTP] {
	return object[HTTP]{
		row("url", text{words: "URL `http://…` or `https://…`", secret: true, check: checkHTTPURL}, "", "Where the request goes.",
			func(h *HTTP) *string { return &h.URL }).needed(),
		row("method", choice{"GET", "POST", "PUT", "PATCH", "DELETE"}, "POST", "Method of the request; `GET` and `DELETE` have no body.",
			func(h *HTTP) *string { return &h.Method }),
		row("headers", namedTexts{words: "mapping from name to text", name: headerName, value: checkHeader}, "", "Further headers of the request, such as `{Authorization: \"Bearer ${TOKEN}\"}`. `Host`, the headers that frame a request, and names that begin with `Webhook-` or `Tidemill-` are not yours to set.",
			func(h *HTTP) *map[string]string { return &h.Headers }),
		row("secret", textOrTexts{"text, or list of texts", text{secret: true, check: checkSecret}}, "", "Signs the request as [Standard Webhooks](https://www.standardwebhooks.com) has it: `whsec_` and the base64 of 24 to 64 bytes, or any other text of at least 16 bytes, which is the key itself. With several, each gives a signature, so that one can be replaced without a gap.",
			func(h *HTTP) *[]string { return &h.Secrets }),
		row("timeout", duration{time.Second, time.Hour}, "30s", "Longest time of one attempt, answer included.",
			func(h *HTTP) *time.Duration { return &h.Timeout }),
		row("max_response", size{0, 1 << 20}, "16KiB", "As much of the answer's body is kept.",
			func(h *HTTP) *int { return &h.MaxResponse }),
	}
}

// commandFields are the further fields of a job of kind command.
func commandFields() object[Command] {
	return object[Command]{
		row("argv", argv{}, "", "The program and its arguments: `[bin/rails, runner, Report.nightly]`. There is no shell.",
			func(c *Command) *[]string { return &c.Argv }).needed(),
		row("dir", text{words: "directory"}, "", "Where the program runs.",
			func(c *Command) *string { return &c.Dir }).from("that of the worker"),
		row("env", namedTexts{words: "mapping from name to text", name: envName}, "", "Environment of the program, beside that of the worker. Names that begin with `TIDEMILL_` are not yours to set.",
			func(c *Command) *map[string]string { return &c.Env }),
		row("timeout", duration{time.Second, 30 * day}, "1h", "Longest time of one attempt.",
			func(c *Command) *time.Duration { return &c.Timeout }),
		row("max_output", size{1 << 10, 1 << 20}, "64KiB", "As much of the output is kept, its beginning and its end, and as much of it is logged in a minute.",
			func(c *Command) *int { return &c.MaxOutput }),
	}
}

// emailFields are the further fields of a job of kind email.
func emailFields() object[Email] {
	recipients := textOrTexts{"text, or list of texts", text{check: checkRecipients}}
	return object[Email]{
		row("to", recipients, "", "Recipients: `ops@example.com`, or `\"{{.email}}\"` with the param of that name.",
			func(e *Email) *[]string { return &e.To }).needed(),
		row("cc", recipients, "", "Recipients of a copy.",
			func(e *Email) *[]string { return &e.CC }),
		row("bcc", recipients, "", "Recipients of a copy whom the others do not see.",
			func(e *Email) *[]string { return &e.BCC }),
		row("from", text{words: "mail address", check: checkAddress}, "", "Sender.",
			func(e *Email) *string { return &e.From }).from("`mail.from`"),
		row("reply_to", text{words: "mail address", check: checkAddress}, "", "Where an answer goes.",
			func(e *Email) *string { return &e.ReplyTo }),
		row("subject", text{words: "template of one line", check: checkSubject}, "", "Subject: `\"Hello {{.name}}\"`.",
			func(e *Email) *string { return &e.Subject }).needed(),
		row("template", text{words: "name", pattern: templatePattern, check: checkTemplateName}, "", "Template of `mail.templates` that makes the body. Give this, or `text`, `html` or both.",
			func(e *Email) *string { return &e.Template }),
		row("text", text{words: "template", check: checkTemplate}, "", "Body as plain text.",
			func(e *Email) *string { return &e.Text }),
		row("html", text{words: "template", check: checkTemplate}, "", "Body as HTML; params are escaped.",
			func(e *Email) *string { return &e.HTML }),
		row("attach", texts{"paths"}, "", "Files of the worker's machine that go with the mail.",
			func(e *Email) *[]string { return &e.Attach }),
		row("timeout", duration{time.Second, time.Hour}, "1m", "Longest time of one attempt.",
			func(e *Email) *time.Duration { return &e.Timeout }),
	}
}

// sqlFields are the further fields of a job of kind sql.
func sqlFields() object[SQL] {
	return object[SQL]{
		row("statement", text{words: "SQL", check: checkStatement}, "", "One statement: `CALL app.stats(:day)`. Each `:name` is declared in `params`, and each param is in the statement. In the slice of an array put a space behind the colon: `a[low: high]`.",
			func(s *SQL) *string { return &s.Statement }).needed(),
		row("timeout", duration{time.Second, 30 * day}, "5m", "Longest time of one attempt.",
			func(s *SQL) *time.Duration { return &s.Timeout }),
		row("max_rows", integer[int]{0, 10_000}, "100", "As many of the rows that the statement returns are kept.",
			func(s *SQL) *int { return &s.MaxRows }),
	}
}
