DROP TABLE {tidemill}.message_claim;
