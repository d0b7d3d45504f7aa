package rowio

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func BenchmarkNext(b *testing.B) {
	lines := map[string]string{
		"plain":  "1234567,user1234567@example.com,Mika Tanaka,JP,2024-01-02,42,1234.50,a short note\n",
		"crlf":   "1234567,user1234567@example.com,Mika Tanaka,JP,2024-01-02,42,1234.50,a short note\r\n",
		"quoted": "\"1234567\",\"user1234567@example.com\",\"Tanaka, Mika\",\"JP\",\"2024-01-02\",\"42\",\"1234.50\",\"a short note\"\n",
		"escape": "1234567,user1234567@example.com,\"Mika \"\"Mi\"\" Tanaka\",JP,2024-01-02,42,1234.50,\"two\nlines\"\n",
	}
	for name, line := range lines {
		b.Run(name, func(b *testing.B) {
			data := []byte(strings.Repeat(line, 8<<20/len(line)))
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				c := NewCSV(bytes.NewReader(data), nil)
				for {
					_, err := c.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
