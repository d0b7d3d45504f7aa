package mail

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is a mailbox with the name of whoever reads it, which may be empty.
type Address = mail.Address

// maxAddress is what RFC 5321 allows a path, in bytes.
const maxAddress = 254

// ParseAddresses reads one or more addresses in the form of RFC 5322, with commas between them. Empty text has none. Control
// characters are refused, those that end a line above all: no address becomes a header of its own.
func ParseAddresses(text string) ([]*Address, error) {
	text = strings.Trim(strings.TrimSpace(text), ", \t")
	if text == "" {
		return nil, nil
	}
	if err := CheckLine(text); err != nil {
		return nil, err
	}
	list, err := mail.ParseAddressList(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no address: %s; write it like jo@example.com or Jo <jo@example.com>", clip(text), strings.TrimPrefix(err.Error(), "mail: "))
	}
	for _, a := range list {
		if len(a.Address) > maxAddress {
			return nil, fmt.Errorf("%q is no address: it has more than %d bytes", clip(text), maxAddress)
		}
		if err := errors.Join(CheckLine(a.Address), CheckLine(a.Name)); err != nil {
			return nil, err // an encoded word may hide what the text did not show
		}
	}
	return list, nil
}

// CheckLine refuses what does not belong in a header: control characters, and bytes that are not UTF-8.
func CheckLine(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%q is not UTF-8", clip(text))
	}
	for _, r := range text {
		switch {
		case r == '\r' || r == '\n':
			return fmt.Errorf("%q has a line break, which a header cannot have", clip(text))
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return fmt.Errorf("%q has a control character (%U), which a header cannot have", clip(text), r)
		}
	}
	return nil
}

// Normal is the form of an address under which two spellings of one mailbox meet: the domain in lower case. The part before
// it is the server's business.
func Normal(address string) string {
	at := strings.LastIndexByte(address, '@')
	return address[:at+1] + strings.ToLower(address[at+1:])
}

// envelopeAddress is the address in angle brackets, quoted where the protocol wants it.
func envelopeAddress(address string) string { return (&Address{Address: address}).String() }

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// clip shortens text for a message.
func clip(text string) string {
	const most = 80
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}
