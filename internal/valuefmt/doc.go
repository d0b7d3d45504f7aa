// Package valuefmt turns the texts of a file, written as some country or
// program writes them, into texts that PostgreSQL reads as values of a column:
// 1.234,56 into 1234.56, 31.12.2024 into 2024-12-31, ja into true.
//
// A [Format] is declared for a column and compiled once; [Converter.Append] then
// converts one value after the other, and its errors say what was expected. Nothing is guessed: 01/02/2024 is whatever the layout says.
//
// # Layouts of dates and times
//
//	yyyy yy         year; of two digits, 69 to 99 are 1969 to 1999
//	MMMM MMM MM M   month: January, Jan, 01 or 1, 1 or 01
//	dd d            day: 01, 1 or 01
//	HH H            hour, 00 to 23
//	hh h            hour, 01 to 12, with a
//	mm m ss s       minute, second
//	S               fraction of a second, 1 to 9 digits, as many as there are
//	a               AM or PM, in any case
//	XXX             offset from UTC: Z, +09:00, +0900 or +09
//	'text'          text as it is; '' is one quote
//
// Letters alone have no other meaning and must be quoted; every other
// character stands for itself. Names for a whole format: iso (dates and times as in ISO
// 8601 and in PostgreSQL), unix and unix_ms (since 1970 in UTC), excel (days since 1899-12-30,
// as spreadsheets count them).
package valuefmt
