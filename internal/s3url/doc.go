// Package s3url judges URLs of buckets and their parameters, and shows nothing of what may be a secret.
package s3url
