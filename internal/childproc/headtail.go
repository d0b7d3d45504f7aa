package childproc

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// headTail keeps the beginning and the end of a text: how it began tells what it was about, and errors come last.
type headTail struct {
	max   int
	head  []byte // the first max/4 bytes
	tail  []byte // a ring of the last bytes after the head
	next  int    // where the ring is written next, once it is full
	total int64
}

func (k *headTail) write(text string) {
	k.total += int64(len(text))
	n := min(k.max/4-len(k.head), len(text))
	k.head, text = append(k.head, text[:n]...), text[n:]

	size := k.max - k.max/4
	if len(text) > size {
		text = text[len(text)-size:]
	}
	n = min(size-len(k.tail), len(text))
	k.tail, text = append(k.tail, text[:n]...), text[n:]
	for text != "" {
		n := copy(k.tail[k.next:], text)
		k.next, text = (k.next+n)%size, text[n:]
	}
}

// truncated reports whether something was left out.
func (k *headTail) truncated() bool { return k.total > int64(k.max) }

// text is what is kept, with a line between the two parts that tells how much is missing.
func (k *headTail) text() string {
	head := string(k.head)
	tail := string(k.tail[k.next:]) + string(k.tail[:k.next])
	if !k.truncated() {
		return head + tail
	}
	head = head[:wholeRunes(k.head)]
	for tail != "" && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	var b strings.Builder
	b.WriteString(head)
	if head != "" && !strings.HasSuffix(head, "\n") {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "… %d bytes left out …\n", k.total-int64(len(head)+len(tail)))
	b.WriteString(tail)
	return b.String()
}

// maxLastLine bounds what an error message quotes, in bytes.
const maxLastLine = 500

// shorten cuts a line to what an error message can quote.
func shorten(line string) string {
	line = strings.TrimSpace(line)
	if len(line) <= maxLastLine {
		return line
	}
	return line[:wholeRunes([]byte(line[:maxLastLine]))] + "…"
}
