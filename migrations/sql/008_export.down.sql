-- locks: {tidemill}.artifact, {tidemill}.artifact_part
DROP TABLE {tidemill}.artifact_part;
DROP TABLE {tidemill}.artifact;
