"""A judge judges again what was judged in public: how far do its verdicts agree with the published ones?"""
