package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
)

var (
	// ErrNoBucket is returned if the bucket itself is not there.
	ErrNoBucket = errors.New("no such bucket")
	// ErrUnavailable is returned if the storage did not answer, or asked for patience: another try may go well.
	ErrUnavailable = errors.New("the storage is not available")
)

var errBucketMissing = fmt.Errorf("%w; create it, or correct its name, region or endpoint", ErrNoBucket)

// s3Error has words of our own in place of the library's, which name request, host and attempt before they come to the point.
type s3Error struct {
	text string
	is   error // nil: nothing that a program could act on
}

func (e *s3Error) Error() string { return e.text }
func (e *s3Error) Unwrap() error { return e.is }

// explainS3 says what went wrong and what to do. The result is one of ErrNotFound, ErrNoBucket, ErrChanged, fs.ErrPermission,
// ErrUnavailable and the errors of contexts where one of these is meant.
func explainS3(err error) error {
	if errors.Is(err, errNoCredentials) {
		return &s3Error{"no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role", fs.ErrPermission}
	}
	for _, over := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, over) {
			return over
		}
	}
	status := httpStatus(err)
	if status == 0 {
		return unanswered(err)
	}
	code, answer := "", fmt.Sprint(status)
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(err, &api) {
		code = api.ErrorCode()
		answer += " " + code
		if message := api.ErrorMessage(); message != "" && message != code {
			answer += ": " + message
		}
	}
	switch {
	case code == "NoSuchBucket":
		return errBucketMissing
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusPreconditionFailed:
		return ErrChanged
	case code == "InvalidObjectState":
		return &s3Error{"it is archived; restore it first (" + answer + ")", fs.ErrPermission}
	case status == http.StatusMovedPermanently, code == "AuthorizationHeaderMalformed":
		return &s3Error{"the bucket is in another region; set the parameter region, or AWS_REGION (" + answer + ")", nil}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, slices.Contains([]string{"ExpiredToken", "InvalidToken"}, code):
		return &s3Error{"permission denied; check the credentials and what they may do (" + answer + ")", fs.ErrPermission}
	case status >= 500, status == http.StatusTooManyRequests, code == "RequestTimeout":
		return &s3Error{"the storage is not available (" + answer + ")", ErrUnavailable}
	}
	return &s3Error{answer, nil}
}

// unanswered is for errors without an answer.
func unanswered(err error) error {
	var connection interface{ ConnectionError() bool }
	if !errors.As(err, &connection) {
		return err
	}
	var request *url.Error
	if errors.As(err, &request) { // its own words repeat the URL
		err = request.Err
	}
	return &s3Error{fmt.Sprintf("the storage is not available (%v)", err), ErrUnavailable}
}

// httpStatus is that of the answer, 0 if there was none.
func httpStatus(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if !errors.As(err, &answered) {
		return 0
	}
	return answered.HTTPStatusCode()
}

var errNoCredentials = errors.New("no credentials")

// credentials marks the errors of a provider, which come without a type.
type credentials struct{ aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errNoCredentials, err)
	}
	return found, err
}
