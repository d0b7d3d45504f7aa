package config

import (
	"bytes"

	"github.com/tidemill/tidemill/config/field"

	_ "embed"
	"strings"
)

//go:embed example.yaml
var example string

//go:embed reference_intro.md
var intro string

// Reference is the description of all fields, in Markdown: docs/CONFIG.md.
func Reference(kinds []Kind) []byte {
	var b bytes.Buffer
	b.WriteString(strings.Replace(intro, "EXAMPLE\n", example, 1))
	b.WriteString("\n## Top level\n\n")
	field.Describe(&b, nil, Fields(kinds))
	return b.Bytes()
}

// Fields are those of the top level, with all below them.
func Fields(kinds []Kind) []field.Info { return (&Config{kinds: kinds}).fields().Infos() }
