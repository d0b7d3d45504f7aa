package metrics

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed reference_intro.md
var intro string

// Reference describes all series, in Markdown: docs/METRICS.md.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(intro)
	describe(&b, "Of each process", "Every worker process counts these for itself; add them up.", false)
	describe(&b, "Of the cluster", `One process reports these for all, see [above](#one-reporter). There is one series of each; it moves
from one process to another, so leave the labels `+"`instance` and `pod`"+` out: `+"`max without (instance, pod) (tidemill_jobs)`.", true)
	return b.Bytes()
}

func describe(b *bytes.Buffer, title, text string, cluster bool) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n", title, text)
	for _, f := range Families() {
		if f.Cluster != cluster {
			continue
		}
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, f.Unit, labels, f.Help)
	}
}
