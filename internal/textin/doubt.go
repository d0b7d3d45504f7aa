package textin

import (
	"fmt"
	"strings"
)

// maxNamed is how many encodings a question names.
const maxNamed = 3

// between asks which of the encodings it is, with what to do for each.
func (d Detected) between() string {
	named := d.Rivals[:min(len(d.Rivals), maxNamed)]
	names := make([]string, len(named))
	set, convert := []string{}, []string{}
	for i, r := range named {
		names[i] = r.Name
		if r.Encoding != "" {
			set = append(set, fmt.Sprintf("`encoding: %s`", r.Encoding))
		} else {
			convert = append(convert, fmt.Sprintf("`iconv -f %s -t UTF-8 FILE > FILE.utf8`", r.Iconv))
		}
	}
	var out strings.Builder
	if d.Unlike {
		fmt.Fprintf(&out, "the encoding is not certain: the file looks like %s, not like %s", strings.Join(names, " or "), d.Encoding)
	} else {
		fmt.Fprintf(&out, "the encoding is not certain: the text may be %s or %s", d.Encoding, strings.Join(names, " or "))
	}
	own := fmt.Sprintf("`encoding: %s`", d.Encoding)
	fmt.Fprintf(&out, "; set `encoding:` if you know it: %s", strings.Join(append([]string{own}, set...), " or "))
	if len(convert) > 0 {
		fmt.Fprintf(&out, "; what an import cannot read, make UTF-8 first: %s", strings.Join(convert, " or "))
	}
	return out.String()
}
