// Package mail writes mail from templates and hands it to an SMTP server, one recipient at a time, with an exact account of
// what became of each.
//
// Three things can become of a mail for one recipient, besides being taken by the server. It is refused for good (an answer
// 5xx), refused for now (4xx, or the connection failed before the server had all of it), or unknown: the server had all of
// it, and its answer was lost. No protocol trick turns the last into one of the others, so it has a name here, and whoever
// sends must not repeat it unasked.
package mail
