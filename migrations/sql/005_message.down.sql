-- locks: {tidemill}.message_claim
DROP TABLE {tidemill}.message_claim;
