package rowio

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func BenchmarkNDJSON(b *testing.B) {
	const line = `{"id":1234567,"email":"user1234567@example.com","name":"Mika Tanaka","country":"JP","tags":["a","b"],"note":"a short \"note\""}` + "\n"
	data := []byte(strings.Repeat(line, 8<<20/len(line)))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		n := NewNDJSON(bytes.NewReader(data), &NDJSONOpts{Names: []string{"name", "email", "id", "note"}})
		for {
			rec, err := n.Next()
			if err == io.EOF {
				break
			}
			if err != nil || rec.Err != nil {
				b.Fatal(err, rec)
			}
		}
	}
}

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
