package mail

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
)

// Template is a mail in one or both forms, with its layout around it.
type Template struct {
	// Neither is ever executed itself: html/template cannot be copied after that, and each rendering has functions of its own.
	text *texttemplate.Template
	html *htmltemplate.Template
}

// contentBlock is what a layout calls the mail.
const contentBlock = "content"

// maxRendered bounds what a template may give, in bytes.
const maxRendered = 10 << 20

// strict makes a param that the run does not have an error instead of "<no value>".
const strict = "missingkey=error"

// Parse parses a source within the layout. Errors name file, or place, and line.
func (t *Templates) Parse(source Source) (*Template, error) {
	parsed := &Template{}
	var err error
	if source.Text != "" {
		if parsed.text, err = parseText(t.layout, source); err != nil {
			return nil, plain(err)
		}
	}
	if source.HTML != "" {
		if parsed.html, err = parseHTML(t.layout, source); err != nil {
			return nil, plain(err)
		}
	}
	return parsed, nil
}

func parseText(layout, source Source) (*texttemplate.Template, error) {
	if layout.Text == "" {
		return texttemplate.New(source.textName).Funcs(functions(About{})).Option(strict).Parse(source.Text)
	}
	root, err := texttemplate.New(layout.textName).Funcs(functions(About{})).Option(strict).Parse(layout.Text)
	if err != nil {
		return nil, err
	}
	body, err := root.New(source.textName).Parse(source.Text)
	if err != nil {
		return nil, err
	}
	if !onlyDefines(body.Tree) {
		_, err = root.AddParseTree(contentBlock, body.Tree)
	}
	return root, err
}

func parseHTML(layout, source Source) (*htmltemplate.Template, error) {
	root, err := parseHTMLTree(layout, source)
	if err != nil {
		return nil, err
	}
	// What escapes a value depends on where it is; html/template finds out before the first byte, and only then says
	// what it cannot do. Missing data is no matter here.
	trial, err := root.Clone()
	if err != nil {
		return nil, err
	}
	var unsafe *htmltemplate.Error
	if err := trial.Execute(io.Discard, map[string]any{}); errors.As(err, &unsafe) {
		return nil, err
	}
	return root, nil
}

func parseHTMLTree(layout, source Source) (*htmltemplate.Template, error) {
	if layout.HTML == "" {
		return htmltemplate.New(source.htmlName).Funcs(functions(About{})).Option(strict).Parse(source.HTML)
	}
	root, err := htmltemplate.New(layout.htmlName).Funcs(functions(About{})).Option(strict).Parse(layout.HTML)
	if err != nil {
		return nil, err
	}
	body, err := root.New(source.htmlName).Parse(source.HTML)
	if err != nil {
		return nil, err
	}
	if !onlyDefines(body.Tree) {
		_, err = root.AddParseTree(contentBlock, body.Tree.Copy())
	}
	return root, err
}

// onlyDefines tells that a template has nothing of its own beside the blocks that it fills.
func onlyDefines(tree *parse.Tree) bool { return tree == nil || parse.IsEmptyTree(tree.Root) }

// Render gives the mail's text and HTML; the form that the template does not have is empty. data should come from Data.
func (t *Template) Render(data map[string]any, about About) (text, html string, err error) {
	if t.text != nil {
		if text, err = renderText(t.text, data, about); err != nil {
			return "", "", err
		}
	}
	if t.html == nil {
		return text, "", nil
	}
	own, err := t.html.Clone()
	if err != nil {
		return "", "", plain(err)
	}
	var b limited
	if err := own.Funcs(functions(about)).Execute(&b, data); err != nil {
		return "", "", plain(err)
	}
	return text, b.String(), nil
}

func renderText(t *texttemplate.Template, data map[string]any, about About) (string, error) {
	own, err := t.Clone()
	if err != nil {
		return "", plain(err)
	}
	var b limited
	if err := own.Funcs(functions(about)).Execute(&b, data); err != nil {
		return "", plain(err)
	}
	return b.String(), nil
}

// RenderLine renders a template of the configuration, at place there, that gives one line of a header.
func RenderLine(place, source string, data map[string]any, about About) (string, error) {
	t, err := texttemplate.New(place).Funcs(functions(About{})).Option(strict).Parse(source)
	if err != nil {
		return "", plain(err)
	}
	text, err := renderText(t, data, about)
	if err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if err := CheckLine(text); err != nil {
		return "", fmt.Errorf("%s: %w", place, err)
	}
	return text, nil
}

// plain takes the packages' own prefixes off, so that a message begins with file and line, and adds what to do.
func plain(err error) error {
	text := err.Error()
	for _, prefix := range []string{"template: ", "html/template:", "html/template: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	if strings.Contains(text, "map has no entry for key") {
		text += "; the run has no param of that name"
	}
	return errors.New(text)
}

// limited is a buffer that takes no more than maxRendered.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxRendered {
		return 0, fmt.Errorf("the mail is longer than %d bytes", maxRendered)
	}
	return l.Builder.Write(p)
}

// WriteString keeps the bound for io.WriteString, which would pass Write by.
func (l *limited) WriteString(s string) (int, error) { return l.Write([]byte(s)) }
