-- The history of a claim is read from an index, so that it does not cost what others do on the same name.
CREATE INDEX events_by_claim ON events (payload ->> 'claimId');
CREATE INDEX events_by_holder_claim ON events (payload ->> 'holderClaimId')
    WHERE kind IN ('ContestOpened', 'ContestAnswered');
